"""The configurations whose training is pinned bit for bit: name -> overrides of `gan train`."""

MLP = "generator=mlp discriminator=mlp generator.width=8 discriminator.width=8"
DCGAN = "generator=dcgan discriminator=dcgan generator.width=4 discriminator.width=4"
CNN = "generator=cnn discriminator=cnn generator.width=4 discriminator.width=4"
RESNET = "generator=resnet discriminator=resnet generator.width=4 discriminator.width=4"
STYLEGAN2 = (
    "generator=stylegan2 generator.width=4 generator.max_width=8 generator.w_dim=8 generator.mapping_layers=2 "
    "discriminator=stylegan2 discriminator.width=4 discriminator.max_width=8 discriminator.minibatch_std_group=4"
)
PLAIN = "regularizer=none ema=none"
TWO = "trainer=ddp trainer.accelerator=cpu trainer.devices=2"

CONFIGURATIONS = {
    "plain": f"{MLP} {PLAIN} loss=minimax",
    "ema_half_life": f"{MLP} regularizer=none ema=half_life ema.half_life_kimg=0.02 ema.ramp_up=0.05",
    "r1": f"{MLP} regularizer=[r1]",
    "simultaneous": f"{MLP} {PLAIN} schedule=simultaneous",
    "simultaneous_k2_n2_r1": f"{MLP} regularizer=[r1] schedule=simultaneous schedule.discriminator_steps=2 "
    "schedule.generator_steps=2",
    "k5_gradient_penalty": f"{MLP} loss=wasserstein regularizer=[gradient_penalty] schedule.discriminator_steps=5",
    "lazy_r1_gradient_penalty": f"{MLP} regularizer=[r1,gradient_penalty] regularizer.r1.every=4 "
    "regularizer.gradient_penalty.every=3 regularizer.gradient_penalty.sided=one",
    "accumulation_r1": f"{MLP} regularizer=[r1] accumulation=2",
    "packing_gradient_penalty": f"{MLP} regularizer=[gradient_penalty,r1] discriminator.packing=2",
    "classes_hinge_r1": f"{MLP} loss=hinge regularizer=[r1] conditional=true",
    "batch_norm_classes": f"{DCGAN} conditional=true regularizer=[r2]",
    "batch_and_spectral_norm_simultaneous": f"{DCGAN} discriminator.norm=spectral schedule=simultaneous loss=hinge",
    "cnn_spectral_norm_k2": f"{CNN} {PLAIN} schedule.discriminator_steps=2 loss=hinge",
    "resnet_spectral_norm": f"{RESNET} {PLAIN} loss=hinge",
    "resnet_twice_the_fakes": f"{RESNET} discriminator.norm=none loss=wasserstein regularizer=[gradient_penalty] "
    "schedule.generator_batch_multiple=2",
    "relativistic_pairing_r1_r2": f"{MLP} loss=rp_gan regularizer=[r1,r2] regularizer.r2.weight=0.2",
    "relativistic_average_simultaneous": f"{MLP} {PLAIN} loss=ra_gan schedule=simultaneous",
    "consensus": f"{MLP} regularizer=[consensus] regularizer.consensus.weight=0.1",
    "consensus_simultaneous": f"{MLP} regularizer=[consensus] regularizer.consensus.weight=0.1 schedule=simultaneous",
    "lecam_accumulation": f"{MLP} regularizer=[lecam] accumulation=2",
    "instance_noise_r1": f"{MLP} regularizer=[instance_noise,r1] regularizer.instance_noise.anneal=6",
    "label_smoothing_dragan": f"{MLP} regularizer=[label_smoothing,dragan]",
    "orthogonal_zero_centered": f"{DCGAN} discriminator.norm=spectral regularizer=[orthogonal,zero_centered] "
    "regularizer.orthogonal.weight=0.01",
    "weight_clipping_rmsprop": f"{MLP} loss=wasserstein regularizer=[weight_clipping] optimizer=rmsprop "
    "schedule.discriminator_steps=2",
    "bf16_r1": f"{MLP} regularizer=[r1] precision=bf16",
    "float64": f"{MLP} regularizer=[r1] precision='64'",
    "clipped_cosine": f"{MLP} regularizer=[r1] max_gradient_norm=0.5 lr_schedule=cosine",
    "maxout_dropout_momentum": f"{MLP} {PLAIN} discriminator.activation=maxout discriminator.dropout=0.5 "
    "discriminator.input_dropout=0.2 optimizer=sgd lr_schedule=decay_with_momentum prior=uniform",
    "generator_first_own_steps": f"{MLP} schedule.first=generator regularizer=[r1,zcr] regularizer.r1.every=4 "
    "regularizer.r1.own_step=true regularizer.zcr.every=2 regularizer.zcr.own_step=true",
    "stylegan2": f"{STYLEGAN2} conditional=true schedule.first=generator refinement=style_mixing "
    "regularizer=[r1,path_length] regularizer.r1.every=4 regularizer.r1.own_step=true "
    "regularizer.path_length.every=2 regularizer.path_length.own_step=true ema=half_life",
    "points": f"{MLP} data=ring data.reference=200 regularizer=[r1]",
    "two_processes_lecam_dragan": f"{MLP} regularizer=[lecam,dragan] {TWO}",
    "two_processes_batch_norm_r1": f"{DCGAN} regularizer=[r1] {TWO}",
    "two_processes_consensus_k2": f"{MLP} regularizer=[consensus,r1] schedule.discriminator_steps=2 {TWO}",
}

COMMON = (
    "rounds=10 batch_size=8 log_every=1 metrics=none logger=none checkpoint_every=1000 sample_every=1000 seed=7 "
    "trainer=cpu"
)
