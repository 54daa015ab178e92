"""The names that a directory's user knows it by, from its configuration alone."""

from typing import Any


def labels_of_config(config: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """(objective, method, hyperparameters) of what run.toml keeps."""
    source, about = config.get("source", {}), config["method"]
    name = about["name"] if "name" in about else f"{about['dynamics']} {about['scheme']}"
    objective = source.get("objective", config["objective"]["name"])
    return objective, source.get("method", name), about["hyperparameters"]
