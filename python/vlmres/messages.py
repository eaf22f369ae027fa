"""Images, videos and documents of chat messages, with their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vlmres.inputs.errors import kind, shown

# Settings of an image or a video that a message may have, as qwen-vl-utils names them.
IMAGE_SETTINGS = ("min_pixels", "max_pixels", "resized_height", "resized_width")
VIDEO_SETTINGS = (
    *IMAGE_SETTINGS,
    "total_pixels",
    "fps",
    "nframes",
    "min_frames",
    "max_frames",
    "video_start",
    "video_end",
    "sample_fps",
    "raw_fps",
)

# The keys under which a part of a message holds its image or video.
_KEYS = {
    "image": ("image", "image_url", "url", "path", "base64", "source", "file"),
    "video": ("video", "video_url", "url", "path", "base64", "source"),
    "file": ("file", "file_data", "source"),
}
_KINDS = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "video": "video",
    "video_url": "video",
    "input_video": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
}


class Media(NamedTuple):
    """The images and videos of chat messages, in order."""

    images: list[Any]
    """Images as a `Processor` takes them: paths, addresses, data URIs, PIL images. One with settings is a pair of the
    image and its settings. PDF files are among them as data URIs: `Processor(recipe)([media.images])` is one sample of
    all images and pages.
    """
    videos: list[Any]
    """Video files or lists of frames. One with settings is a pair of the video and its settings; a `Processor` refuses
    settings that its recipe does not have.
    """


def from_messages(messages: Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]]) -> Media:
    """The images and videos of chat messages, in order, with the settings of each.

    Parts may be written as OpenAI's (`image_url`, `input_image`), as Qwen's and qwen-vl-utils' (`{"image": ...,
    "max_pixels": ...}`), as transformers' (`{"type": "image", "url" | "path" | "base64" | "image": ...}`), as vLLM's
    (`video_url`) or as Anthropic's (`source`). A file (OpenAI's `file` and `input_file`, Anthropic's `document`) is a
    PDF as a data URI. Other parts are ignored; a part of type image must hold an image.

    Args:
        messages: One conversation, or a list of them.

    Raises:
        TypeError: It is not a conversation, or a part with an image or video is not understood; the message says which.
    """
    found = Media([], [])
    conversations: Any = messages if messages and not isinstance(messages[0], Mapping) else [messages]
    for conversation in conversations:
        if isinstance(conversation, (str, bytes)) or not isinstance(conversation, Sequence):
            raise TypeError(f"a conversation is a list of messages, got {kind(conversation)}")
        for number, message in enumerate(conversation):
            if not isinstance(message, Mapping):
                raise TypeError(f"message {number} is {kind(message)}, not a dict")
            content = message.get("content")
            if isinstance(content, Mapping):
                content = [content]
            if content is None or isinstance(content, str):
                continue
            for place, part in enumerate(content):
                try:
                    _take(part, found)
                except TypeError as error:
                    raise TypeError(f"message {number}, part {place}: {error}") from None
    return found


def _take(part: Any, found: Media) -> None:
    if not isinstance(part, Mapping):
        return
    said = part.get("type")
    # A part without a type is what it holds.
    name = said if isinstance(said, str) else next((one for one in ("image", "image_url", "video") if one in part), "")
    what = _KINDS.get(name)
    if what is None:
        return
    content = _content(part, what)
    if what == "file":
        found.images.append(_pdf(content))
        return
    names = IMAGE_SETTINGS if what == "image" else VIDEO_SETTINGS
    settings = {name: part[name] for name in names if part.get(name) is not None}
    items = found.images if what == "image" else found.videos
    items.append((content, settings) if settings else content)


def _content(part: Mapping[str, Any], what: str) -> Any:
    for key in _KEYS[what]:
        value = part.get(key)
        if value is None:
            continue
        if key == "base64":
            return _data_uri(value)
        if isinstance(value, Mapping) and not ("bytes" in value or "path" in value):
            return _of_mapping(value, what)
        return value
    raise TypeError(f"a part of type {what} has none of {', '.join(_KEYS[what])}")


def _of_mapping(value: Mapping[str, Any], what: str) -> Any:
    """OpenAI's {"url": ...}, and Anthropic's {"type": "base64", "data": ...}."""
    if isinstance(value.get("data"), str):
        return _data_uri(value["data"], value.get("media_type"))
    for key in ("url", "image", "video", "file_data"):
        if value.get(key) is not None:
            return value[key]
    raise TypeError(f"the {what} is a dict of {', '.join(map(str, list(value)[:8])) or 'nothing'}")


def _pdf(content: Any) -> str:
    if not isinstance(content, str) or not content[:21].lower().startswith("data:application/pdf"):
        head = content.partition(",")[0] if isinstance(content, str) else content
        raise TypeError(f"a file is a PDF as a data URI of application/pdf, got {shown(head)}")
    return content


def _data_uri(text: Any, media: Any = None) -> str:
    if not isinstance(text, str):
        raise TypeError(f"base64 is a text, got {kind(text)}")
    return text if text.startswith("data:") else f"data:{media or ''};base64,{text}"
