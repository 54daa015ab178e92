"""The dictionary: learning rate and momentum in every framework's convention, and step and friction."""
