"""Page: the HTML pieces that reports and served pages share. They need no network and no other file.

A page that uses them puts `STYLE` into its <style> and `SCRIPT` into its <script>.
"""

from importlib.resources import files

from earmark.page.player import audio_uri, player
from earmark.page.sound import sound
from earmark.page.spectrogram import highlight, log_mel, spectrogram, spectrogram_uri

STYLE = files(__name__).joinpath("sound.css").read_text(encoding="utf-8")
SCRIPT = files(__name__).joinpath("sound.js").read_text(encoding="utf-8")

__all__ = ["SCRIPT", "STYLE", "audio_uri", "highlight", "log_mel", "player", "sound", "spectrogram", "spectrogram_uri"]
