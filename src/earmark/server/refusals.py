"""Why a request gets no answer: a short fixed set of reasons, each with its HTTP status."""

from __future__ import annotations

from earmark.errors import EarmarkError

# Reason → HTTP status, what it means. Documented in docs/serve.md.
REASONS = {
    "unauthorised": (401, "The token is missing or wrong."),
    "foreign": (403, "Another site's page, or another host's name."),
    "not_found": (404, "No such address, or no such tagger."),
    "bad_method": (405, "The address does not take this method."),
    "slow_upload": (408, "The body came too slowly."),
    "too_large": (413, "The upload has too many bytes."),
    "too_long": (413, "The sound, or the region, is too long."),
    "too_much_sound": (413, "The upload decodes to too much."),
    "not_a_sound": (415, "Nothing decodes the upload, or it holds no sound."),
    "bad_parameter": (422, "A parameter is unknown or wrong."),
    "bad_upload": (422, "The body holds no file, or more than one."),
    "cut_off": (422, "The sound stops before its end or is damaged."),
    "unreadable": (422, "The region lies outside, or samples are no numbers."),
    "unscorable": (422, "The tagger gives no scores of this sound."),
    "bad_frame": (422, "A message of a stream that is no PCM, or too long, or not finite."),
    "bad_message": (422, "A text of a stream that is not known."),
    "idle": (408, "A stream was silent for too long, or answers were not read."),
    "busy": (429, "As many as are taken at once are there already."),
    "bug": (500, "A bug of the server; its log has the traceback."),
    "stopping": (503, "The server is stopping."),
    "too_slow": (503, "Decoding and scoring took too long."),
}
RETRY_AFTER_SECONDS = 1
GONE = 499  # the client has left: nobody hears the answer; as nginx calls it


class Refusal(EarmarkError):
    """A request that is not served.

    reason: one of REASONS. status: its HTTP status.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason
        self.status = REASONS[reason][0]

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP wants beside the status."""
        if self.reason == "unauthorised":
            return {"WWW-Authenticate": "Bearer"}
        if self.reason == "slow_upload":
            return {"Connection": "close"}  # what still trickles in is not waited for
        return {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.reason in ("busy", "stopping", "too_slow") else {}


class GoneError(EarmarkError):
    """The client has left; its work is given up."""
