"""Cases through vlmres and through transformers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from vlmres._core import PlanError, Recipe, VlmresError, plan
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.route import make_processor, own_settings
from vlmres.processor import Processor
from vlmres.verify import references, tokens
from vlmres.verify.cases import Case, draw
from vlmres.verify.references import Reference

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from vlmres.batch import Batch

Arithmetic = Literal["torch", "pillow"]
ARITHMETICS: tuple[Arithmetic, ...] = get_args(Arithmetic)

_LIKE_MOST = Reference("", "")

_BACKENDS: dict[Arithmetic, str] = {"torch": "torchvision", "pillow": "pil"}


class Subject:
    """A recipe and a transformers image processor with the same settings, to be compared. `VideoSubject` is for videos.

    Args:
        name: Its name in the report.
        option: The command-line option that selects it.
        recipe: The recipe.
        reference: Makes an image processor from an arithmetic and changed settings.
        counter: Makes the transformers processor that counts tokens; or None.
        known: Properties of its class; by default those of most classes.
    """

    against = "transformers"
    """The reference's name in messages."""

    def __init__(
        self,
        name: str,
        option: str,
        recipe: Recipe,
        reference: Callable[..., Any],
        counter: Callable[[], Any | None],
        known: Reference = _LIKE_MOST,
    ) -> None:
        self.name = name
        self.option = option
        self.recipe = recipe
        self.reference = reference
        self._counter = counter
        self.known = known

    @staticmethod
    def of_recipe(name: str) -> Subject:
        """A built-in recipe with a reference in transformers."""
        reference, counter = partial(references.processor, name), partial(tokens.processor_of, name)
        known = references.REFERENCES[name]
        subject = Subject(name, f"--recipe {name}", Recipe.load(name), reference, counter, known)
        return subject.made_by(Subject.of_recipe, name)

    @staticmethod
    def of_checkpoint(directory: Path) -> Subject:
        """A checkpoint's folder."""

        def reference(arithmetic: Arithmetic, **settings: Any) -> Any:
            from transformers import AutoImageProcessor

            return AutoImageProcessor.from_pretrained(directory, backend=_BACKENDS[arithmetic], **settings)

        def counter() -> Any | None:
            from transformers import AutoProcessor

            try:
                processor = AutoProcessor.from_pretrained(directory)
                tokens.count(processor, [(640, 480)])
            except Exception:  # no tokenizer in the folder, or the class does not count
                return None
            return processor

        recipe = Recipe.from_pretrained(directory)
        name, option = f"{directory.name} ({recipe.name})", f"--checkpoint {directory}"
        known = references.REFERENCES.get(recipe.name, _LIKE_MOST)
        return Subject(name, option, recipe, reference, counter, known).made_by(Subject.of_checkpoint, directory)

    def made_by(self, maker: Callable[[Any], Subject], argument: Any) -> Self:
        """The function and arguments that make the subject again in another process."""
        self._maker = (maker, (argument,))
        return self

    def __reduce__(self) -> tuple[Callable[[Any], Subject], tuple[Any]]:
        return self._maker

    def draw(self, seed: int, number: int, reference: Any) -> Case:
        """The case of this number."""
        return draw(seed, number, reference, self.known.fixed)

    def process(self, processor: Processor, case: Case) -> Batch:
        """The result of vlmres for a case."""
        return processor(case.images)

    def follow(self, reference: Any) -> Processor:
        """The vlmres processor of a reference with settings of its own.

        Raises:
            DeclinedError: No recipe follows them.
        """
        return make_processor(reference, own_settings(reference))

    def reliable(self, size: Any) -> bool:
        """Whether transformers counts the tokens of this size correctly."""
        return tokens.reliable(self.counter, size)

    def count(self, size: Any) -> int:
        """Tokens that transformers counts."""
        return tokens.count(self.counter, [size])[0]

    @property
    def arithmetics(self) -> tuple[Arithmetic, ...]:
        """The arithmetics for which transformers has a backend."""
        return self.known.backends

    @cached_property
    def counter(self) -> Any | None:
        """The processor that counts tokens, or None."""
        return self._counter()


@dataclass
class Failure:
    """A case with a difference."""

    case: str
    reason: str
    command: str
    """The command that runs this case alone."""


@dataclass
class Tally:
    """The results of a subject's cases in one arithmetic."""

    subject: Subject
    arithmetic: Arithmetic
    cases: int = 0
    left_out: int = 0
    """Number of cases whose settings no recipe follows, so that the drop-in leaves them to transformers."""
    difference: float = 0.0
    differing: int = 0
    counted: int = 0
    """Number of images whose tokens were compared."""
    not_counted: int = 0
    """Number of images whose tokens transformers is known to miscount (`tokens.MISCOUNTED`)."""
    miscounted: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether anything differs, or nothing was compared."""
        return bool(self.failures) or self.left_out == self.cases


class MismatchError(Exception):
    """The results differ. `difference` is the largest difference of a value; 0 if values were not compared."""

    def __init__(self, reason: str, difference: float = 0.0) -> None:
        super().__init__(reason)
        self.difference = difference


def verify(tally: Tally, seed: int, numbers: range) -> Iterator[Case]:
    """Runs the cases of these numbers, adds them to a tally, and yields after each."""
    subject, arithmetic = tally.subject, tally.arithmetic
    reference = subject.reference(arithmetic)
    for number in numbers:
        start = time.perf_counter()
        case = subject.draw(seed, number, reference)
        tally.cases += 1
        command = f"vlmres verify {subject.option} --arithmetic {arithmetic} --seed {seed} --case {number}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                compare(subject, arithmetic, case, reference)
            except DeclinedError:
                tally.left_out += 1
            except MismatchError as error:
                tally.differing += 1
                tally.difference = max(tally.difference, error.difference)
                tally.failures.append(Failure(str(case), str(error), command))
            if subject.counter is not None:
                sizes = [size for size in case.sizes if subject.reliable(size)]
                tally.counted += len(sizes)
                tally.not_counted += len(case.sizes) - len(sizes)
                wrong = miscounts(subject, sizes)
                tally.miscounted += len(wrong)
                if wrong:
                    tally.failures.append(Failure(str(case), "; ".join(wrong), command))
        tally.seconds += time.perf_counter() - start
        yield case


def compare(subject: Subject, arithmetic: Arithmetic, case: Case, reference: Any) -> None:
    """Compares one call.

    Raises:
        MismatchError: The results differ in keys, types, shapes or values, or only one of the two refuses the images.
        DeclinedError: No recipe follows the case's settings.
    """
    unlike = subject.known.unlike.items() & case.settings.items() if arithmetic == "torch" else None
    if unlike:
        raise DeclinedError("recipe", f"no recipe follows {dict(unlike)} as this class does")
    if case.settings:
        reference = subject.reference(arithmetic, **case.settings)
        processor = subject.follow(reference)
    else:
        processor = Processor(subject.recipe, arithmetic="torch" if arithmetic == "torch" else "pillow-installed")
    if reference.do_normalize:
        processor.dtype = subject.known.dtype
    expected = _outcome(partial(reference, return_tensors="pt"), case.images)
    got = _outcome(subject.process, processor, case)
    if isinstance(expected, Exception) or isinstance(got, Exception):
        if not isinstance(expected, Exception):
            raise MismatchError(f"vlmres refuses: {got}")
        if not isinstance(got, VlmresError):
            raise MismatchError(
                f"{subject.against} refuses: {expected}; vlmres does not, or not for such a reason: {got}"
            )
        return
    _compare(got.torch(), dict(expected), subject.against)


def miscounts(subject: Subject, sizes: Sequence[Any]) -> list[str]:
    """Differences in the token counts of images or videos of these sizes, with the checkpoint's own settings."""
    wrong = []
    for size in sizes:
        try:
            expected: int | None = subject.count(size)
        except ValueError:
            expected = None  # transformers refuses the size
        try:
            got: int | None = plan(size, subject.recipe).num_tokens
        except PlanError:
            got = None
        if got != expected:
            wrong.append(f"{got} tokens for {'x'.join(map(str, size))}, transformers counts {expected}")
    return wrong


def _outcome(run: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return run(*arguments)
    except Exception as error:
        return error


def _compare(got: Mapping[str, Any], expected: Mapping[str, Any], against: str) -> None:
    if list(got) != list(expected):
        raise MismatchError(f"keys {', '.join(got)}; {against} gives {', '.join(expected)}")
    import torch

    for key, tensor in got.items():
        wanted = torch.as_tensor(expected[key])  # some classes return lists of numbers
        if tensor.dtype != wanted.dtype or tensor.shape != wanted.shape:
            ours, theirs = (f"{one.dtype} {tuple(one.shape)}" for one in (tensor, wanted))
            raise MismatchError(f"{key} is {ours}; {against} gives {theirs}")
        if not tensor.equal(wanted):
            off = (tensor.double() - wanted.double()).abs()
            most = float(off.max())
            first = tuple(torch.nonzero(tensor != wanted)[0].tolist())
            raise MismatchError(
                f"{int((off != 0).sum())} of {off.numel()} values of {key} differ, by up to {most}; "
                f"the first at {list(first)}: {tensor[first].item()}, {against} gives {wanted[first].item()}",
                most,
            )
