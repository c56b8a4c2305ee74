"""Who runs, on which images and which network, for how many epochs; and the groups they are compared in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HEAD_RATE, FINE_RATE = 1e-4, 1e-5
FEW_LAYERS = 5
DEFAULT_EPOCHS = 5


@dataclass(frozen=True)
class Contestant:
    """One way to get a trained model.

    Attributes:
        name: Its group and its own name, as in "extraction/recipe".
        title: What the table says.
        function: The module in this package and the function in it, as in "keras_recipes.feature_extraction".
        against: The contestant whose time is divided by this one's in the table.
        data: "digits" for all images, "some" and "few" for fewer.
        network: See `networks`.
        feature_layer: Where graftwork cuts it.
        from_head: Whether it starts from a head that was trained beforehand, which is not counted.
        epochs: Passes over the training images, 0 where that has no meaning.
        options: Further keyword arguments of the function.
        once: Whether it runs in the first repeat alone, because it only shows a further side of another one.
        extra: Whether it runs only when its group is asked for, because that takes long.
    """

    name: str
    title: str
    function: str
    against: str = ""
    data: str = "digits"
    network: str = "lite0"
    feature_layer: str = "auto"
    from_head: bool = False
    epochs: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    once: bool = False
    extra: bool = False

    @property
    def group(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]


def _extraction(group: str, epochs: int) -> list[Contestant]:
    ours = {"against": f"{group}/recipe", "epochs": epochs}
    return [
        Contestant(
            f"{group}/recipe", "recipe: frozen base, new head", "keras_recipes.feature_extraction", epochs=epochs
        ),
        Contestant(f"{group}/graftwork", "graftwork: extract_features, train_head", "graftwork_steps.head", **ours),
        Contestant(
            f"{group}/graftwork-two-processes",
            "graftwork, as two processes",
            "graftwork_steps.head_in_two_processes",
            once=group == "fifty",
            **ours,
        ),
    ]


def _last_five(group: str, network: str, data: str, extra: bool = False, as_written: bool = True) -> list[Contestant]:
    common = {"network": network, "data": data, "epochs": 20, "extra": extra}
    tuned = {
        "against": f"{group}/{'recipe-as-written' if as_written else 'recipe-frozen'}",
        "from_head": True,
        "options": {"layers": FEW_LAYERS, "learning_rate": FINE_RATE},
    }
    recipe = "keras_recipes.fine_tuning"
    written = Contestant(
        f"{group}/recipe-as-written",
        "recipe as written: all layers train",
        recipe,
        options={"freeze_others": False},
        **common,
    )
    return [
        *([written] if as_written else []),
        Contestant(
            f"{group}/recipe-frozen",
            "recipe, the other layers frozen",
            recipe,
            against=f"{group}/recipe-as-written" if as_written else "",
            options={"freeze_others": True},
            **common,
        ),
        Contestant(f"{group}/graftwork", "graftwork: fine_tune alone", "graftwork_steps.tuned", **tuned, **common),
        Contestant(
            f"{group}/graftwork-all-steps",
            "graftwork: extract_features, train_head, fine_tune",
            "graftwork_steps.head_and_tuned",
            once=True,
            **{**tuned, "from_head": False},
            **common,
        ),
        Contestant(
            f"{group}/floor", "floor: one pass below, then training steps", "floors.suffix_training", **tuned, **common
        ),
    ]


def _third() -> list[Contestant]:
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "uncached": ("no cache, augmented", {"cache": "never", "augment": True}),
        "uncached-plain": ("no cache", {"cache": "never", "augment": False}),
        "cached": ("cache, augmented, default views", {"cache": "always", "augment": True}),
        "cached-one-view": ("cache, augmented, one view", {"cache": "always", "augment": True, "views": 1}),
        "cached-plain": ("cache", {"cache": "always", "augment": False, "views": 1}),
    }
    common = {"from_head": True, "epochs": DEFAULT_EPOCHS}
    contestants = [
        Contestant(
            f"third/{name}",
            f"graftwork: fine_tune, {title}",
            "graftwork_steps.tuned",
            against="third/uncached" if options["augment"] else "third/uncached-plain",
            options={"layers": "third", **options},
            once=name == "cached-one-view",
            **common,
        )
        for name, (title, options) in ways.items()
    ]
    floor = Contestant(
        "third/floor",
        "floor: one pass below, then training steps",
        "floors.suffix_training",
        against="third/uncached-plain",
        options={"layers": "third", "learning_rate": 5e-4},
        **common,
    )
    return [*contestants, floor]


def _top(group: str, network: str, data: str, extra: bool = False) -> list[Contestant]:
    common = {"network": network, "data": data, "epochs": 20, "feature_layer": "penultimate", "extra": extra}
    return [
        Contestant(f"{group}/recipe", "recipe: frozen base, new top", "keras_recipes.replacing_the_top", **common),
        Contestant(
            f"{group}/graftwork",
            "graftwork: extract_features, train_head",
            "graftwork_steps.head",
            against=f"{group}/recipe",
            **common,
        ),
    ]


CONTESTANTS: dict[str, Contestant] = {
    contestant.name: contestant
    for contestant in [
        *_extraction("extraction", 10),
        Contestant(
            "extraction/floor", "floor: decode, one forward pass", "floors.forward_pass", against="extraction/recipe"
        ),
        *_extraction("fifty", 50),
        Contestant(
            "kerashub/classifier",
            "KerasHub ImageClassifier, frozen backbone",
            "kerashub.image_classifier",
            against="extraction/recipe",
            epochs=10,
        ),
        Contestant(
            "default/run",
            "graftwork run, as typed",
            "graftwork_run.as_typed",
            "extraction/recipe",
            epochs=DEFAULT_EPOCHS,
        ),
        Contestant(
            "default/one-process",
            "the same steps in one process",
            "graftwork_run.in_one_process",
            against="extraction/recipe",
            epochs=DEFAULT_EPOCHS,
            once=True,
        ),
        *_last_five("vgg", "vgg16", "few"),
        *_last_five("five", "lite0", "some"),
        *_third(),
        *_top("top", "lite0", "some"),
        *_last_five("vgg224", "vgg16-224", "fewer", extra=True, as_written=False),
        *_top("top-vgg", "vgg16-224-top", "fewer", extra=True),
    ]
}
GROUPS = {
    "extraction": "Feature extraction, EfficientNet-Lite0 at 96 px, 10 epochs",
    "fifty": "The same for 50 epochs",
    "kerashub": "KerasHub around the same backbone, 10 epochs",
    "default": "graftwork's default, from the image folder to the selected model",
    "vgg": "Fine-tuning the last five layers, VGG16 at 96 px, 20 epochs",
    "vgg224": "The same at 224 px",
    "five": "Fine-tuning the last five layers, EfficientNet-Lite0 at 96 px, 20 epochs",
    "third": "Fine-tuning the last third of EfficientNet-Lite0, 5 epochs; against no cache, augmented or not alike",
    "top": "Replacing the top of EfficientNet-Lite0 at 96 px, 20 epochs",
    "top-vgg": "Replacing the top of VGG16 with its fully connected layers, at 224 px, 20 epochs",
}
