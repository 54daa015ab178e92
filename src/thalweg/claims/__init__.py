"""Statements of textbooks and articles about these methods, each with an experiment and a verdict."""

from ._ledger import Claim as Claim
from ._ledger import Correction as Correction
from ._ledger import Outcome as Outcome
from ._ledger import Verdict as Verdict
from ._ledger import check as check
from ._ledger import coverage as coverage
from ._ledger import find as find
from ._ledger import ledger as ledger
from ._sentences import ARTICLES as ARTICLES
from ._sentences import SENTENCES as SENTENCES
from ._sentences import Sentence as Sentence
