"""Builder of text8 for TensorFlow Datasets; the trainer itself does not use it.

    import trainer.tasks.text8_tfds  # registers the builder
    import tensorflow_datasets as tfds

    text = next(iter(tfds.load("text8", split="train")))["text"]

A split is one example that holds the whole text. The default configuration, text8/download,
downloads text8. text8/manual reads text8, text8.gz or text8.zip, which may be a shorter text of the
27 symbols, from the manual directory of TFDS.
"""

import os

import tensorflow_datasets as tfds

from trainer.errors import UserError
from trainer.tasks import corpus
from trainer.tasks.base import SPLITS

FILES = ("text8", "text8.gz", "text8.zip")


class Text8(tfds.core.GeneratorBasedBuilder):
    """The first 10^8 characters of a cleaned English Wikipedia, 27 symbols (Mahoney, 2011)."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (
        tfds.core.BuilderConfig(name="download", description="downloaded and verified"),
        tfds.core.BuilderConfig(name="manual", description="read from the manual directory"),
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"For text8/manual, put one of {', '.join(FILES)} into the manual directory."
    )

    def _info(self):
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
            homepage="http://mattmahoney.net/dc/textdata.html",
        )

    def _split_generators(self, dl_manager):
        if self.builder_config.name == "manual":
            text = corpus.load(_manual_file(dl_manager.manual_dir))
        else:
            text = corpus.load(cache_dir=os.fspath(dl_manager.download_dir))
        return {split: self._generate_examples(text, *text.splits[split]) for split in SPLITS}

    def _generate_examples(self, text, start, stop):
        symbols = corpus.SYMBOLS.encode()
        yield "text", {"text": text.codes[start:stop].tobytes().translate(symbols.ljust(256))}


def _manual_file(directory):
    for name in FILES:
        path = os.path.join(directory, name)
        if os.path.exists(path):
            return path
    raise UserError(f"{directory} has none of {', '.join(FILES)}")
