"""Errors a user can act on. Each message says what was wrong and what to do about it."""


class FaceSpeakError(Exception):
    """Base of every error this package raises on purpose."""


class TextError(FaceSpeakError):
    """The text cannot be spoken."""


class EmptyText(TextError):
    """There is no text at all."""

    def __init__(self):
        super().__init__("The text is empty. Give at least one word to say.")


class NothingToPronounce(TextError):
    """The text holds no word, number or symbol that English can say."""

    def __init__(self, text: str):
        super().__init__(
            f"Nothing in {text[:60]!r} can be pronounced in English. "
            "Write the words in Latin letters or digits."
        )


class UnknownSymbol(TextError):
    """A pronunciation in braces, or an index, is not one of the project's phonemes."""


class UnreadableImage(FaceSpeakError):
    """The portrait is no picture that can be decoded."""


class NoFace(FaceSpeakError):
    """No face was found in the picture."""


class SeveralFaces(FaceSpeakError):
    """More than one face was found and none was chosen."""


class UnknownOutput(FaceSpeakError):
    """The output's extension names no format that can be written."""


class OutputExists(FaceSpeakError):
    """Something that may not be overwritten has the output's name."""


class UnreadableVideo(FaceSpeakError):
    """The file is no video that can be decoded."""


class RejectedClip(FaceSpeakError):
    """The clip can't be used for training; the message is the reason."""


class BadManifest(FaceSpeakError):
    """A line of a manifest can't be understood."""


class NothingPrepared(FaceSpeakError):
    """Every video given was rejected."""


class TextTooLong(FaceSpeakError):
    """The text is longer than can be said in one clip."""


class MissingExtra(FaceSpeakError):
    """The command needs packages that speaking alone does not."""


class WeightsIncomplete(FaceSpeakError):
    """The loaded weights lack parts that the request needs."""


class FaceTooSmall(UserWarning):
    """The face has fewer pixels than the model draws, so the result will be soft."""
