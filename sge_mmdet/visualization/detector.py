"""Pictures of a detector's SGE layers for an image, before and after training.

There are two pictures for each layer: the gates and activations of the groups
whose gates vary most over the image, and a histogram of the similarity before
and after normalisation.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.apis import init_detector
from mmdet.utils import get_test_pipeline_cfg

from ..utils import RENEWING, Writer, find_config, load_config, quiet_log
from ..utils.figures import save_figure
from ..utils.terminal import print_note
from .gates import (
    GateMaps,
    choose_layers,
    gates_figure,
    record_gates,
    similarity_figure,
)


@dataclass(frozen=True)
class GateDrawing:
    """Drawing of the SGE layers of a detector for one image.

    Args:
        config: Config of a detector with SGE.
        checkpoint: File or URL of the weights after training.
        image: Image file.
        before: File or URL of the weights before training. Default: None, the
            initial weights of the config.
        layers: Parts of the names of the layers. Default: None, the last
            layer of each stage.
        groups: Indices of groups. Default: None, the groups whose gates vary
            most over the image.
        number: Number of groups if ``groups`` is None. Default: 4.
        device: Device of the detector. Default: "cpu".
    """

    config: Union[str, Path]
    checkpoint: str
    image: Union[str, Path]
    before: Optional[str] = None
    layers: Optional[Sequence[str]] = None
    groups: Optional[Sequence[int]] = None
    number: int = 4
    device: str = 'cpu'

    def draw(
        self, out_dir: Union[str, Path], writer: Writer = RENEWING
    ) -> Iterator[List[Path]]:
        """Draw the layers one after the other.

        Args:
            out_dir (str or Path): Folder of the pictures; it is created.
            writer (Writer): Writer of the files. Default: one that replaces
                only files that this package wrote.

        Yields:
            list[Path]: The two pictures of a layer.

        Raises:
            OSError: If a file does not exist or cannot be written.
            RuntimeError: If the weights cannot be loaded.
            ValueError: If a layer or group does not exist, or the config
                cannot be loaded.
        """
        config = find_config(self.config)
        image, after = self._record(config, self.checkpoint)
        layers = choose_layers(after, self.layers)
        for name in layers:
            writer.check(*picture_files(out_dir, name))
        maps = {'before': self._record_before(config), 'after': after}
        for name in layers:
            files = picture_files(out_dir, name)
            groups = after[name].choose_groups(self.groups, self.number)
            gates = {
                f'gate {when} training': of_layers[name]
                for when, of_layers in maps.items()
                if of_layers
            }
            sheet = gates_figure(image, gates, name, groups)
            save_figure(sheet, files[0], writer)
            histogram = similarity_figure(after[name], name, groups)
            save_figure(histogram, files[1], writer)
            yield files

    def _record_before(self, config: Path) -> Dict[str, GateMaps]:
        """Return the maps before training, or none if they are unknown."""
        try:
            return self._record(config, self.before)[1]
        except Exception as error:
            # The initial weights of a config may be missing on this machine.
            if self.before:
                raise
            print_note(
                'drawn without the gates before training, because the '
                f'initial weights of the config cannot be loaded ({error}); '
                'name a checkpoint with --before'
            )
            return {}

    def _record(
        self, config: Path, checkpoint: Optional[str]
    ) -> Tuple[np.ndarray, Dict[str, GateMaps]]:
        """Return the image and the maps of the layers for a checkpoint."""
        if not Path(self.image).is_file():
            raise FileNotFoundError(f'There is no image {self.image}')
        torch.manual_seed(0)
        # Without a palette MMDetection would load the data set to get one.
        start = load_config(config).get('load_from')
        model = init_detector(
            str(config),
            checkpoint or start,
            palette='random',
            device=self.device,
        )
        if not (checkpoint or start):
            with quiet_log():
                # A line or more for each layer.
                model.init_weights()
        pipeline = Compose(get_test_pipeline_cfg(model.cfg))
        return record_gates(
            model, pipeline(dict(img_path=str(self.image), img_id=0))
        )


def picture_files(folder: Union[str, Path], layer: str) -> List[Path]:
    """Return the names of a layer's two pictures.

    Args:
        folder (str or Path): Folder of the pictures.
        layer (str): Name of the layer.
    """
    # Names of modules can contain any character but dots.
    name = layer.replace('/', '_')
    return [
        Path(folder, f'{name}.{kind}.png') for kind in ('gates', 'similarity')
    ]
