"""Takes the question and says nothing. Stopped by: the batch's deadline."""

from raw_connection import speak

load_model = speak(lambda *_: None)
