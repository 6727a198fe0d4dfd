"""The training of a GAN: the LightningModule and its parts."""
