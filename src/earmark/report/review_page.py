"""The page of `earmark review`: one question at a time, its sound, and what can be decided by one key."""

from __future__ import annotations

from earmark import page
from earmark.report.clip_sound import clip_sound
from earmark.report.templating import environment
from earmark.review.session import Question, Session
from earmark.review.suspects import KINDS

PLAYED_SECONDS = 30.0


def review_page(session: Session, *, title: str, command: str, nonce: str) -> str:
    """HTML of the page; questions and decisions come from the server that it is loaded from.

    Args:
        title: what is reviewed.
        command: what trains with the decisions.
        nonce: of the script, as the server's policy says.
    """
    asked = {question.kind for question in session.questions}
    return (
        environment()
        .get_template("review.html")
        .render(
            title=title,
            kinds={kind: words for kind, words in KINDS.items() if kind in asked},
            by_label=any(question.label for question in session.questions),
            corrections=session.path.as_posix(),
            command=command,
            nonce=nonce,
            sound_style=page.STYLE,
            sound_script=page.SCRIPT,
        )
    )


def question_sound(question: Question) -> str:
    """HTML of a question's sound, and of the copy that it is held against."""
    clips = [(question.clip, question.name, "")]
    if question.like is not None:
        name = ", ".join(question.like_labels) or "no label"
        clips.append((question.like, question.like.clip_id, f"{question.like.clip_id}, labelled {name}"))
    heard = [
        (clip_sound(clip.path, clip.start, clip.end, name, PLAYED_SECONDS), title) for clip, name, title in clips
    ]
    return environment().get_template("review_sound.html").render(sounds=heard)


