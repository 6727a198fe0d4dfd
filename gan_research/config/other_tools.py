"""Names of settings in other tools, and the setting that is meant by each."""

from collections.abc import Iterable

from gan_research.config.keys import KEYS
from gan_research.utils.errors import did_you_mean

NAMES = {
    "rounds": "epoch epochs num_epochs n_epochs max_epochs min_epochs total_epochs steps max_steps min_steps num_steps "
    "iterations iters num_iters niter n_iter max_iter total_iters total_steps kimg total_kimg fast_dev_run max_time "
    "limit_train_batches overfit_batches",
    "batch_size": "batch bs batchsize minibatch minibatch_size train_batch_size batch_per_gpu",
    "accumulation": "accumulate_grad_batches gradient_accumulation_steps grad_accum accum",
    "max_gradient_norm": "gradient_clip_val gradient_clip_algorithm max_grad_norm grad_clip clip_grad clip",
    "precision": "amp fp16 bf16 half dtype mixed_precision",
    "sync_batch_norm": "sync_batchnorm syncbn sync_bn",
    "seed": "random_seed manual_seed seed_everything",
    "conditional": "cond class_cond",
    "optimizer": "optim opt",
    "optimizer.generator.lr": "lr learning_rate lr_g g_lr lrg",
    "optimizer.discriminator.lr": "lr_d d_lr lrd",
    "optimizer.generator.betas": "beta1 beta2 beta_1 beta_2 b1 b2 betas",
    "prior.latent_dim": "latent_dim latent_size z_dim zdim dim_z nz noise_dim",
    "generator": "model arch netg",
    "generator.width": "ngf",
    "discriminator": "critic netd",
    "discriminator.width": "ndf",
    "loss": "criterion gan_mode gan_loss loss_type adversarial_loss",
    "schedule.discriminator_steps": "n_critic ncritic n_dis d_steps critic_iters critic_steps num_d_steps",
    "schedule.generator_steps": "g_steps n_gen num_g_steps",
    "regularizer.gradient_penalty.weight": "gp gp_weight lambda_gp",
    "regularizer.r1.weight": "r1_gamma gamma r1_weight",
    "ema.decay": "ema_decay ema_beta",
    "data": "dataset dataset_name",
    "data.root": "root dataroot data_root data_dir data_path datadir dataset_path train_dir",
    "data.resolution": "resolution image_size img_size imsize crop_size",
    "data.num_workers": "num_workers workers n_workers num_threads",
    "trainer=gpu": "device cuda gpu use_cuda accelerator",
    "trainer.devices": "devices gpus n_gpus num_gpus ngpu ngpus num_devices",
    "trainer=ddp": "ddp distributed strategy",
    "logger": "wandb tracker report_to",
    "logger.wandb.project": "project wandb_project",
    "logger.wandb.entity": "entity wandb_entity",
    "log_every": "log_interval log_freq print_freq log_every_n_steps",
    "sample_every": "sample_interval sample_freq",
    "evaluate_every": "eval_every eval_interval eval_freq val_check_interval check_val_every_n_epoch",
    "checkpoint_every": "save_every save_interval save_freq snap",
    "progress_seconds": "quiet verbose progress progress_bar print_every enable_progress_bar refresh_rate",
    "output": "outdir output_dir out_dir save_dir log_dir logdir results_dir work_dir default_root_dir",
    "name": "run_name exp_name experiment_name",
    "freeze_discriminator": "freezed freeze_d freeze_layers num_freeze_layers",
    "resume": "resume_from ckpt ckpt_path checkpoint resume_from_checkpoint",
}
"""A setting -> its names elsewhere."""

WITHIN = {
    "path": "root file folder",
    "root": "path dir folder",
    "resolution": "size image_size",
    "width": "channels filters hidden hidden_dim dim ch",
    "depth": "layers num_layers n_layers",
    "num_workers": "workers",
}
"""The last part of a setting -> its names in the same component elsewhere."""

OURS = {name: ours for ours, names in NAMES.items() for name in names.split()}


def setting_of(option: str) -> str | None:
    """Return the setting KEY=VALUE that is meant by an option, such as lr=0.1; None if there is none."""
    name, _, value = option.partition("=")
    ours = OURS.get(name.lower(), name)
    if ours.partition("=")[0].partition(".")[0] not in {*KEYS, *NAMES}:
        return None
    return ours if "=" in ours else f"{ours}={value or '...'}"


def suggestion(name: str, valid: Iterable[str], everywhere: Iterable[str] = ()) -> str:
    """Return the end of an error line: the setting that is meant by an unknown one.

    valid: the settings of its component. everywhere: those of the whole config.
    """
    valid = list(valid)
    last = name.rpartition(".")[2].lower()
    component = [v for v in valid if last in WITHIN.get(v.rpartition(".")[2], "").split()]
    within = [full for full in everywhere if full.endswith(f".{name}")]
    found = [full for full in (*component, *within, OURS.get(last)) if full and full != name]
    if found:
        return f"did you mean '{found[0]}'?"
    return did_you_mean(name, valid)
