"""What invalidates an earlier snapshot: digests that snapshots of earlier versions hold."""

from __future__ import annotations

from pipelines.configuration.config import EnrichConfig
from pipelines.configuration.plan import make_plan
from pipelines.run.versions import snapshot_versions
from tests.support import Shop
from transforms.describe.prompts import AskOptions
from transforms.images.files import ImageLimits
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.readers import ReadLimits

FILLING, LIMITS = "8f8d1cbbddfbc787", "a9adf836ab671a0f"
FAKES = ModelOptions("fake", text=EncoderOptions("fake"), image=EncoderOptions("fake"))


def shape(shop: Shop, **given: object) -> dict[str, str]:
    template = shop.folder / "template.yaml"
    template.write_text(shop.template)
    catalog = shop.file("in.jsonl", [{"sku": "a"}])
    config = EnrichConfig(
        str(template),
        (str(catalog),),
        str(shop.folder / "out"),
        images_root=str(shop.images),
        **given,
    )  # type: ignore[arg-type]
    return snapshot_versions(make_plan(config))


def test_digests_of_the_defaults_are_those_of_snapshots_there_are(shop: Shop) -> None:
    """The defaults have the digests that version 0.1.0 wrote; another one would rebuild every
    snapshot once.
    """
    now = shape(shop)
    assert (now["filling"], now["limits"]) == (FILLING, LIMITS)


def test_another_value_changes_its_part_alone(shop: Shop) -> None:
    """Each part of the shape changes with the options that it is made of, and with no others."""
    before = shape(shop, models=FAKES)
    for part, given in (
        ("filling", {"probes": False}),
        ("limits", {"read_limits": ReadLimits(max_record_bytes=99)}),
        ("pictures", {"image_limits": ImageLimits(max_frames=3)}),
        ("language model", {"ask": AskOptions(max_answer_tokens=99)}),
    ):
        after = shape(shop, models=FAKES, **given)
        assert [name for name in before if before[name] != after[name]] == [part]


def test_demonstrations_rebuild_nothing(shop: Shop) -> None:
    """Other demonstrations leave an earlier snapshot as good as it was."""
    shown = shape(shop, models=FAKES, ask=AskOptions(demonstrations=0))
    assert shown == shape(shop, models=FAKES)
