#!/bin/sh
# Draws the figures of docs/theory.md by its commands, in some minutes on a CPU.
set -eu
cd "$(dirname "$0")/.."
runs=$(mktemp -d)
figures=docs/images/theory
mkdir -p "$figures"

# draw NAME ARGUMENTS...: runs `gan theory ARGUMENTS` and copies its figure to NAME.png
draw() {
    name=$1
    shift
    .venv/bin/gan theory "$@" logger=none "output=$runs/$name"
    for made in "$runs/$name"/*/theory/*.png; do cp "$made" "$figures/$name.png"; done
}

draw phases phases
cp "$runs"/phases/*/theory/phases.gif "$figures/phases.gif"
draw lagging phases optimizer.discriminator.lr=1e-4 rounds=1000
draw far_modes phases "data=mixture_1d" "data.density.means=[-3.0,3.0]"
draw losses losses
draw optimum optimum
cp "$runs"/optimum/*/theory/optimum.gif "$figures/optimum.gif"
draw convergence convergence
draw saturation saturation
draw inner_steps inner-steps
draw dirac dirac
draw dirac_non_saturating dirac loss=non_saturating
draw dirac_r1 dirac regularizer=r1 regularizer.r1.weight=1.0
draw dirac_gradient_penalty dirac loss=wasserstein regularizer=gradient_penalty regularizer.gradient_penalty.weight=1.0
draw dirac_all dirac --all
draw conditioning conditioning
draw augmentation augmentation
draw modes modes
cp "$runs"/modes/*/theory/modes.gif "$figures/modes.gif"
rm -r "$runs"
