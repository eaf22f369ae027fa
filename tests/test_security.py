"""SECURITY.md says what the code does."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def _rows() -> list[tuple[str, str, str]]:
    """Value, file and name of each limit."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    table = text[text.index("## Limits") : text.index("## C code")]
    return re.findall(r"^\|[^|]*\|([^|]*)\|[^|]*\| `([^`]*)`: `([^`]*)` \|$", table, re.MULTILINE)


def _number(text: str) -> int:
    """Of a product or shift of whole numbers."""
    left, operator, right = re.fullmatch(r"([\d_]+)(?: (\*|<<) ([\d_]+))?", text).groups()  # type: ignore[union-attr]
    if operator is None:
        return int(left)
    return int(left) * int(right) if operator == "*" else int(left) << int(right)


def test_there_are_rows() -> None:
    assert len(_rows()) >= 12


@pytest.mark.parametrize(("value", "path", "name"), _rows())
def test_limits_are_those_of_the_code(value: str, path: str, name: str) -> None:
    number, unit = re.match(r" ([\d,]+)(?: (KiB|MiB|GiB))?", value).groups()  # type: ignore[union-attr]
    source = (ROOT / path).read_text(encoding="utf-8")
    (found,) = re.findall(
        rf"^(?:pub(?:\(.*\))? )?(?:const |static )?{name}\b(?:: [^=]*)? = (?:Pool::new\()?([^;)\n]*)", source, re.M
    )
    assert _number(found) == int(number.replace(",", "")) * UNITS.get(unit, 1)


def test_one_crate_of_the_extension_compiles_c() -> None:
    """As SECURITY.md and deny.toml say: libwebp alone; the others that do belong to benchmarks and to loom."""
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    users = [
        re.search(r'name = "([^"]*)"', package)[1]  # type: ignore[index]
        for package in lock.split("[[package]]")
        if re.search(r'^ "(cc|cmake|bindgen)"', package, re.MULTILINE)
    ]
    assert users == ["alloca", "generator", "libwebp-sys"]
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    assert "criterion" in manifest[manifest.index("[dev-dependencies]") :]
    assert "loom =" not in manifest[: manifest.index("cfg(loom)")]
    assert "criterion" not in manifest[: manifest.index("[dev-dependencies]")].replace("[[bench]]", "")
