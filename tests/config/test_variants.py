"""Named variants: where they are listed, and what a run of one is."""

import pytest

from gan_research.config.compose import choice, compose_train, groups
from gan_research.config.variants import as_override, read_variants
from gan_research.utils.errors import UserError

INLINE = "variants={wide: loss=hinge generator.width=7, plain: ''}"


@pytest.mark.parametrize("name", groups()["variants"])
def test_every_variant_of_the_project_is_a_run(name):
    variants = choice("variants", name)
    configs = {variant: compose_train([f"variants={name}", f"variant={variant}"]).config for variant in variants}
    for variant, config in configs.items():
        assert config["variant"] == variant
    assert len({str(config | {"variant": ""}) for config in configs.values()}) == len(configs)


def test_the_losses_have_what_their_papers_give_them():
    def config(name):
        return compose_train(["variants=[losses_published,losses_equal]", f"variant={name}"]).config

    penalty, clipping = config("wasserstein_penalty"), config("wasserstein_clipping")
    assert {name: node["weight"] for name, node in penalty["regularizer"].items()} == {"gradient_penalty": 10.0}
    assert {name: node["limit"] for name, node in clipping["regularizer"].items()} == {"weight_clipping": 0.01}
    assert [c["schedule"]["discriminator_steps"] for c in (penalty, clipping, config("hinge_spectral"))] == [5, 5, 5]
    assert config("hinge_spectral")["discriminator"]["norm"] == "spectral"
    assert {name: node["weight"] for name, node in config("relativistic_r1_r2")["regularizer"].items()} == {
        "r1": 1.0, "r2": 1.0,
    }  # fmt: skip
    equal = [config(f"equal_{name}") for name in ("hinge", "wasserstein", "relativistic")]
    for one in equal:
        assert {key: one[key] for key in one.keys() - {"loss", "variant"}} == {
            key: equal[0][key] for key in one.keys() - {"loss", "variant"}
        }


def test_a_variant_is_its_overrides_and_given_ones_take_precedence():
    composed = compose_train([INLINE, "variant=wide", "seed=3"])
    same = compose_train(["loss=hinge", "generator.width=7", "seed=3"])
    assert composed.config == same.config | {"variant": "wide"}
    assert composed.given == ["seed=3"]
    assert composed.overrides == ["loss=hinge", "generator.width=7", "seed=3"]
    assert compose_train([INLINE, "variant=wide", "generator.width=9"]).config["generator"]["width"] == 9
    assert compose_train([INLINE, "variant=plain"]).config == compose_train([]).config | {"variant": "plain"}
    assert "variant" not in compose_train([]).config


def test_variants_are_written_as_lists_and_as_lines():
    def load(name):
        return {f"{name}1": ["loss=hinge", "regularizer=[r1, r2]"], f"{name}2": "loss=minimax data.root='a b'"}

    expected = {
        "a1": ["loss=hinge", "regularizer=[r1, r2]"], "a2": ["loss=minimax", "data.root=a b"],
    }  # fmt: skip
    assert read_variants("a", load) == expected
    assert list(read_variants("[a, b]", load)) == ["a1", "a2", "b1", "b2"]
    assert read_variants(as_override(load("a")).partition("=")[2].strip("'").replace("\\'", "'"), load) == expected


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["variants=losses_equal"], "add variant=NAME"),
        (["variant=a"], "add variants="),
        (["variants=losses_equal", "variant=equal_hing"], "equal_hinge"),
        (["variants=loses_equal", "variant=a"], "losses_equal"),
        (["variants={a: loss=hinge, a: loss=minimax}", "variant=a"], "duplicate key a"),
        (["variants=[losses_equal,losses_equal]", "variant=a"], "two variants 'equal_non_saturating'"),
        (["variants={}", "variant=a"], "no variant"),
        (["variants=[]", "variant=a"], "no variant"),
        (["variants={a: [1]}", "variant=a"], "variant a: 1"),
        (["variants={a: loss}", "variant=a"], "variant a: loss"),
        (["variants={a: 3}", "variant=a"], "variant a: 3"),
        (["variants={a b: loss=hinge}", "variant=a"], "'a b'"),
        (["variants={a: \"loss=hinge,minimax\"}", "variant=a"], "variant a: loss=hinge,minimax"),
        (["variants={a: variant=b}", "variant=a"], "variant a: variant=b"),
        (["variants={a: \"data.root='x\"}", "variant=a"], "variant a"),
        (["variants.a=loss", "variant=a"], "variants.a"),
        (["variants=a,b", "variant=a"], "variants"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_variants(overrides, part):
    with pytest.raises(UserError) as error:
        compose_train(overrides)
    assert part in str(error.value)
