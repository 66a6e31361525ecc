"""The one LightningModule: trains and evaluates any model with any objective."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from moe_lab.data.pixels import Images, PixelReader
from moe_lab.data.resident import Batch, domain_of, mixture_of
from moe_lab.errors import UserError
from moe_lab.losses import Objective
from moe_lab.losses.mixed import mixed_loss
from moe_lab.metrics.evaluation import Evaluation
from moe_lab.models import Model
from moe_lab.networks.progress import end_step, follow
from moe_lab.outputs import Output
from moe_lab.routers.temperature import moving_temperature
from moe_lab.training.finiteness import refuse_nan, refuse_training_loss, refuse_weights
from moe_lab.training.micro_batches import Teach, in_micro_batches
from moe_lab.training.ranks import draw_apart
from moe_lab.training.schedules import Plateau, Schedule

MEANS = ("train_epoch_loss", "train_accuracy")  # over the images of an epoch


class Classifier(LightningModule):
    """Images -> Output through `model`, with what is needed to train and judge it.

    The statistics that normalise pixels travel with the weights, so that `predict` takes raw
    images. With `test_time_flip` an answer outside of training has the mean of the probabilities of
    image and mirror image; routing and whatever else there is are those of the image.
    """

    mean: Tensor  # [channels]
    std: Tensor  # [channels]

    def __init__(
        self,
        model: Model,
        objective: Objective,
        num_classes: int,
        mean: Iterable[float],
        std: Iterable[float],
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
        schedule: Schedule | Plateau | None = None,
        steps_per_epoch: int = 1,
        total_steps: int = 1,
        micro_batch_size: int | None = None,
        config: dict[str, Any] | None = None,
        test_time_flip: bool = False,
        channels_last: bool = False,
        num_domains: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.optimizer, self.schedule = optimizer, schedule
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        self.micro_batch_size = micro_batch_size  # images over all devices; None: all of a step
        self.config = config or {}
        self.test_time_flip = test_time_flip
        self.channels_last = channels_last
        if channels_last:
            for module in model.modules():
                if isinstance(module, nn.Conv2d):
                    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averages: dict[str, Tensor] | None = None  # saved in place of weights of these names
        self.register_buffer("mean", torch.as_tensor(list(mean), dtype=torch.float32))
        self.register_buffer("std", torch.as_tensor(list(std), dtype=torch.float32))
        self.evaluation = Evaluation(num_classes, num_domains)
        self.train_sums: Tensor | None = None  # [3] summed loss, correct answers, images

    def forward(
        self, images: Tensor, *, every_expert: bool = False, domain: Tensor | None = None
    ) -> Output:
        """`domain` [B] reaches no model but a control that reads it."""
        images = self._laid_out(images)
        output = self.model.with_domain(images, domain, every_expert=every_expert)
        if not self.test_time_flip or self.model.training:
            return output
        mirrored = self.model.with_domain(images.flip(-1), domain)
        summed = torch.logaddexp(output.log_probs, mirrored.log_probs)
        return replace(output, log_probs=summed - math.log(2))

    def _laid_out(self, images: Tensor) -> Tensor:
        if self.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    @torch.inference_mode()
    def predict(self, images: Images) -> Tensor:
        """Class probabilities [B, C] of raw images, pixels from 0 to 255 or floats from 0 to 1.

        [height, width], [channels, height, width] or [B, channels, height, width] of torch or
        numpy, a PIL picture, or a list of them; see `PixelReader`, which refuses anything else.
        """
        shape = (1, -1, 1, 1)
        pixels = self.pixel_reader().read(images).to(self.mean.device)
        normalised = (pixels - self.mean.view(shape)) / self.std.view(shape)
        if self.model.reads_domain():
            raise UserError(
                "this model was told the true domain of each image (router=oracle), so it cannot "
                "say anything about new ones",
                "a model that finds out by itself",
                "use a run with another router",
            )
        was_training = self.model.training
        self.model.eval()
        probs: Tensor = self(normalised).log_probs.exp()
        self.model.train(was_training)
        return probs

    def pixel_reader(self) -> PixelReader:
        """Reads raw images as those of the training were read."""
        dataset = self.config.get("dataset", {})
        _, height, width = dataset.get("shape") or (None, None, None)
        size, white = dataset.get("image_size"), dataset.get("white")
        return PixelReader(len(self.mean), height, width, size, white)

    # ---- training

    def on_train_epoch_start(self) -> None:
        self.train_sums = torch.zeros(3, device=self.device)
        seed = int(self.config.get("seed", 0))
        draw_apart(self.trainer.global_rank, seed, self.trainer.current_epoch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        follow(self, self.trainer.global_step / max(1, self.total_steps - 1))

    def teach(self, images: Tensor, target: Tensor, domain: Tensor | None = None) -> Output:
        """The output of a training step for images and labels [B], in micro-batches where the step
        has more images than one; `domain` [B] is for a control that reads it.
        """
        needs_every = self.objective.needs_every_expert
        teach: Teach = partial(self.model.teach, every_expert=needs_every)
        told = (domain,) if domain is not None and self.model.reads_domain() else ()
        if told:
            teach = partial(_teach_told, self.model, needs_every)
        size = self.micro_batch_size or len(target) * self.trainer.world_size
        most = -(-size // self.trainer.world_size)  # on each device
        return in_micro_batches(teach, self.model, self._laid_out(images), target, most, *told)

    def optimizer_step(self, *arguments: Any, **more: Any) -> None:
        super().optimizer_step(*arguments, **more)
        # Before callbacks look at the step: one of them may draw a router anew.
        end_step(self.model)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        images, target, *_ = batch
        mixture = mixture_of(batch)
        output = self.teach(images, target, domain_of(batch))
        answer = output.log_probs.detach().argmax(-1)
        correct = (answer == target).sum()
        if mixture is not None:
            partner, share = mixture
            loss = mixed_loss(self.objective, output, target, partner, share)
            correct = share * correct + (1 - share) * (answer == partner).sum()
        else:
            loss = self.objective(output, target)
        total = loss.total.detach()
        assert self.train_sums is not None
        # One small tensor a step instead of self.log, which costs as much as a small network.
        self.train_sums += torch.stack(
            (total * len(target), correct, target.new_tensor(len(target)))
        )
        # Lightning writes only what is there at every n-th step, counted from 1.
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if (self.trainer.global_step + 1) % every == 0:
            terms = {f"train_{name}": value for name, value in loss.terms.items()}
            weights = {f"weight_{name}": value for name, value in loss.weights.items()}
            moving = scheduled_values(self.model, self.trainer.optimizers[0])
            values = {"train_loss": total, **terms, **weights, **moving}
            self.log_dict(values, batch_size=len(target))
        # For callbacks that watch the routers: `outputs` of their on_train_batch_end.
        weights = {name: routing.weights.detach() for name, routing in output.routings.items()}
        return {"loss": loss.total, "weights": weights}

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        # Not in on_train_epoch_end: callbacks that read the numbers there come before it.
        if self.trainer.is_last_batch and self.train_sums is not None:
            sums = self.trainer.strategy.reduce(self.train_sums.clone(), reduce_op="sum")
            loss_sum, correct, images = sums.tolist()
            means = dict(zip(MEANS, (loss_sum / images, correct / images), strict=True))
            # Already those of all processes: sync_dist would divide by a rounded mean batch size.
            # Logged in on_train_epoch_end: by itself Lightning would after the checkpoint.
            size = len(batch[1])
            self.log_dict(means, on_step=False, on_epoch=True, batch_size=size, logger=False)

    # Looked at once per epoch: a look at every step would wait for the GPU. The loss of the last
    # step is that of the weights before it, so the weights themselves are looked at as well.
    def on_validation_start(self) -> None:
        self._refuse_nan()

    def on_train_epoch_end(self) -> None:
        self._refuse_nan()  # there is not a validation after every epoch
        seen = self.trainer.callback_metrics
        line = {name: float(seen[name]) for name in MEANS if name in seen}
        for logger in self.trainer.loggers:
            # The step of the last batch, which global_step counts already.
            logger.log_metrics(
                {**line, "epoch": self.trainer.current_epoch}, self.trainer.global_step - 1
            )

    def on_test_start(self) -> None:
        self._refuse_nan()

    def _refuse_nan(self) -> None:
        is_fitting = self.trainer.state.fn == TrainerFn.FITTING
        refuse_training_loss(self.train_sums, self.current_epoch + 1)
        refuse_weights(self.model, self.current_epoch + 1 if is_fitting else None)

    # ---- evaluation

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def _evaluate(self, batch: Batch) -> None:
        images, target, *_ = batch
        domain = domain_of(batch)
        self.evaluation.update(self(images, domain=domain), target, domain)

    def on_validation_epoch_end(self) -> None:
        self._report("val")
        # Over the epochs, so that a figure can show who took over; the test has tables.json.
        self.log_dict({f"val_{name}": share for name, share in self.evaluation.loads().items()})

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _report(self, split: str) -> None:
        values = self.evaluation.compute()
        # In between training may recover, and the best weights are those of another epoch.
        if self.trainer.state.fn != TrainerFn.FITTING:
            refuse_nan(values["loss"], split)
        self.log(f"{split}_accuracy", values.pop("accuracy"), prog_bar=True)
        self.log_dict({f"{split}_{name}": value for name, value in values.items()})

    def on_validation_epoch_start(self) -> None:
        self.evaluation.reset()  # before, not after: its counts are read once it is over

    def on_test_epoch_start(self) -> None:
        self.evaluation.reset()

    # ---- optimisation and checkpoints

    def configure_optimizers(self) -> Any:
        assert self.optimizer is not None, "a classifier without an optimizer only evaluates"
        # One that treats kinds of weights differently says so itself.
        groups = getattr(self.optimizer, "parameter_groups", parameter_groups)
        optimizer = self.optimizer(groups(self.model, self.objective))
        schedule = self.schedule
        if schedule is None:
            return optimizer
        if isinstance(schedule, Plateau):
            plateau = ReduceLROnPlateau(
                optimizer, factor=schedule.factor, patience=schedule.patience
            )
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"},
            }

        def factor(step: int) -> float:
            return schedule.at(step, self.steps_per_epoch, self.total_steps)

        curve = LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": curve, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Plain containers only: anything else makes torch.load(weights_only=True) refuse the file.
        checkpoint["moe_lab_config"] = self.config
        # Here and not in the callback, which is not asked where weights alone are saved.
        if self.averages is not None:
            checkpoint["state_dict"] |= self.averages


def _teach_told(
    model: Model, every_expert: bool, images: Tensor, target: Tensor, domain: Tensor
) -> Output:
    """A training step of a model that is told the domain, which no label teaches."""
    return model.with_domain(images, domain, every_expert=every_expert)


def parameter_groups(*modules: torch.nn.Module) -> list[dict[str, Any]]:
    """Weight matrices with weight decay; biases, scales and other rows without."""
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in (named for module in modules for named in module.named_parameters()):
        if parameter.requires_grad:
            is_matrix = parameter.ndim >= 2 and not name.endswith("bias")
            (decayed if is_matrix else free).append(parameter)
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def scheduled_values(model: Model, optimizer: Optimizer) -> dict[str, float | Tensor]:
    """What moves over training, as the step to come uses it: `learning_rate`, of the first group of
    weights, and each router's `temperature`, after the layer's name where there are several.
    """
    layers = model.routed_layers()
    found: dict[str, float | Tensor] = {"learning_rate": float(optimizer.param_groups[0]["lr"])}
    for name, layer in layers.items():
        temperature = moving_temperature(layer.router)  # type: ignore[arg-type]
        if temperature is not None:
            found[f"{name}_temperature" if len(layers) > 1 else "temperature"] = temperature
    return found
