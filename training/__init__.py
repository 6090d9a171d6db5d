"""How the reader's weights were made: data, training, evaluation. Not part of the installed package."""
