"""The other choices that a component needs in its game."""

HEADS = {
    "auxiliary_classifier": "classifier",
    "twin_auxiliary_classifier": "twin_classifier",
    "auxiliary_discriminative_classifier": "discriminative_classifier",
    "conditional_contrastive": "embedding",
    "data_to_data_cross_entropy": "embedding",
}
"""Regularizer -> its head."""

CLASSES = "conditional=true"
COMPANIONS = {
    **{name: [f"head={head}", CLASSES] for name, head in HEADS.items()},
    **{head: [f"regularizer=[{name}]", CLASSES] for name, head in HEADS.items()},
    "projection": [CLASSES],
    "multi_dimensional": [CLASSES],
    "multi_hinge": ["loss=multi_hinge", "head=multi_hinge", CLASSES],
    "mutual_information": ["prior=coded", "head=infogan"],
    "infogan": ["prior=coded", "regularizer=[mutual_information]"],
    "path_length": ["generator=stylegan2"],
    "style_mixing": ["generator=stylegan2"],
    "coded": ["head=infogan", "regularizer=[mutual_information]"],
}
"""A choice of any group -> overrides for its game."""


def companions(choice, group=""):
    """Return the overrides that a choice needs, but for that of its own group."""
    return [word for word in COMPANIONS.get(choice, []) if not word.startswith(f"{group}=")]
