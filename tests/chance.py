"""How often a correct program may fail the suite by chance, and the thresholds that follow from it.

A test that could fail under another seed takes the fixture `chance`, and with it one share of the budget. It splits
the share evenly among its checks, and each check of k numbers among those (Bonferroni). What takes the fixture is
counted when it is collected, and tests/test_chance.py adds the shares up.

Two kinds of checks take no share: those that chance alone would have to move by ten standard errors or more (1.5e-23),
and those that want to see something wrong distinguished, which is the power of a test and not its false alarm.
"""

import re
from fractions import Fraction

import numpy as np
from scipy import stats

BUDGET = 1e-5
SHARE = 1e-7
# What is printed for readers has a threshold that they can read: at this one fifty numbers are a share.
DOCUMENTED = 6.0


def threshold(k=1, share=SHARE):
    """How many standard errors the largest of k normal numbers exceeds with a probability of at most the share."""
    return float(stats.norm.isf(share / k / 2))


class Chance:
    """The share of one test."""

    def __init__(self):
        self.used = Fraction(0)

    def level(self, k=1, checks=1):
        """The probability at which each of k numbers may fail, in one of so many checks of the test."""
        self.used += Fraction(1, checks)
        assert self.used <= 1, "the checks of this test are more than it says"
        return SHARE / checks / k

    def z(self, k=1, checks=1):
        """The same in standard errors, to both sides."""
        return threshold(share=self.level(k, checks))


def scores(samples, expected):
    """How many standard errors the means over the first axis are off, as numbers that are normal to second order.

    Squares and products are skewed, which counts in the tails: the mean of 200 squares of normals is 4.5 standard
    errors low fifty times too often. The cubic that takes the skewness away is that of Hall (1992), On the removal of
    skewness by transformation; the error is estimated as well, hence Student's law.
    """
    samples = np.asarray(samples)
    n, mean = len(samples), samples.mean(axis=0)
    away = samples - mean
    variance = np.mean(away**2, axis=0)
    skewness = np.mean(away**3, axis=0) / variance**1.5
    t = (mean - expected) / np.sqrt(variance / (n - 1))
    a = skewness / (3 * np.sqrt(n))
    t = t + a * t**2 + a**2 * t**3 / 3 + a / 2
    return np.sign(t) * stats.norm.isf(stats.t.sf(np.abs(t), n - 1))


def variance_score(found, expected, error):
    """The same for a variance of known error; its cube root is all but normal (Wilson and Hilferty)."""
    return 3 * (np.cbrt(found / expected) - 1) / (error / found)


def in_documents(root):
    """(file, multiple) of every check of a random number that readers see, as `... < 6 * error`."""
    files = [root / "README.md", *root.glob("docs/*/*.md"), *root.glob("examples/*.py"), *root.glob("src/**/*.py")]
    for file in sorted(files):
        for multiple in re.findall(r"<=? *([\d.]+) \* \w*error\b", file.read_text("utf-8")):
            yield file.relative_to(root).as_posix(), float(multiple)
