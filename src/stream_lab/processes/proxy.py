"""A proxy with a configuration file, on a port of this machine."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from stream_lab.processes.ports import listens
from stream_lab.processes.process import Process
from stream_lab.processes.programs import find


class Proxy(Process):
    """A running proxy, with its address in `url` and its files in `folder`."""

    def __init__(self, program: str, port: int, configuration: str, command: Sequence[str]) -> None:
        """Start the proxy.

        Args:
            program: its name.
            port: the port that the configuration names.
            configuration: the content of its file.
            command: its arguments, in which {folder} and {file} stand for that file.

        Raises:
            MissingPart: the program is not installed.
            ProcessError: the program does not start; the text has its last line.
        """
        path = find(program)
        self.url = f"http://127.0.0.1:{port}"
        self._folder = TemporaryDirectory(prefix=f"{program}-")
        self.folder = Path(self._folder.name)
        file = self.folder / f"{program}.conf"
        file.write_text(configuration, encoding="utf-8")
        arguments = [each.format(folder=self._folder.name, file=file) for each in command]
        super().__init__(program, [path, *arguments], lambda: listens(port))

    def close(self) -> None:
        super().close()
        self._folder.cleanup()
