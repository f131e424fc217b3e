"""A notebook that is open in JupyterLab: run it through the menu, read its cells, ask its kernel."""

import ast
import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nbformat import NotebookNode, from_dict

from tools.lab import BADGE, LONG, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response

PATIENCE = 60  # seconds for the page to answer, on a busy machine
EMPTY = '<svg xmlns="http://www.w3.org/2000/svg"/>'
VIEW = {"width": 1400, "height": 1000}
READY = """() => {
    const opened = window.jupyterapp?.shell?.currentWidget;
    return opened?.content?.model?.cells?.length && opened.sessionContext?.session?.kernel?.status === 'idle';
}"""
FINISHED = """() => {
    const {content, sessionContext} = window.jupyterapp.shell.currentWidget;
    const code = content.model.toJSON().cells.filter(cell => cell.cell_type === 'code' && cell.source.length);
    const failed = cell => cell.outputs.some(output => output.output_type === 'error')
        && !cell.metadata.tags?.includes('raises-exception');
    return sessionContext.session.kernel.status === 'idle'
        && (code.some(failed) || code.every(cell => cell.execution_count !== null));
}"""


class Notebook:
    """Drive one opened notebook; `console` records all that its page said, and `noise` what it should not have."""

    def __init__(self, page: "Page", server: Server) -> None:
        self.page, self.server = page, server
        self.console: list[str] = []
        self.noise: list[str] = []
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._note(f"page error: {error}", wrong=True))
        page.on("crash", lambda _: self._note("the page crashed", wrong=True))
        page.on("requestfailed", lambda request: self._note(f"{request.failure}: {request.url}", wrong=True))
        page.on("response", self._answered)
        page.on("request", self._asked)
        page.route(BADGE, lambda route: route.fulfill(content_type="image/svg+xml", body=EMPTY))

    def open(self, stem: str) -> None:
        """Show notebooks/stem.ipynb, an aside's too, of the served folder, and wait for its kernel."""
        self.stem = stem
        self.page.goto(self.server.url(f"lab/tree/notebooks/{stem}.ipynb") + "&reset")
        self.page.wait_for_function(READY)

    def run_all(self) -> None:
        """Run all cells through the Run menu. Raises: AssertionError with the traceback of a cell that fails."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        self.page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        self.page.wait_for_function(FINISHED, polling=200, timeout=1000 * LONG)
        for cell in self.cells():
            for output in cell.get("outputs", []):
                if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                    trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
                    raise AssertionError(f"this cell failed:\n{cell.source}\n\n{trace}")

    def cells(self) -> list[NotebookNode]:
        """Return the cells as they now stand in the page, with their outputs."""
        return from_dict(self.page.evaluate("window.jupyterapp.shell.currentWidget.content.model.toJSON()")).cells

    def scroll_to(self, cell: int) -> None:
        """Scroll a cell, by its place in the notebook, into view."""
        self.page.evaluate("place => window.jupyterapp.shell.currentWidget.content.scrollToItem(place)", cell)

    def wait(self, condition: str, argument: object, otherwise: str) -> object:
        """Wait until a function of the page returns what counts as true, and return that.

        Raises: AssertionError, which says otherwise, if it never does.
        """
        from playwright.sync_api import TimeoutError as NeverHappened

        try:
            answer = self.page.wait_for_function(condition, arg=argument, timeout=1000 * PATIENCE, polling=50)
            return answer.json_value()
        except NeverHappened:
            raise AssertionError(otherwise) from None

    def ask(self, expression: str, code: str = "") -> object:
        """Return the value of an expression of plain Python objects in the notebook's own kernel, after some code."""
        identity = self.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
        question = _ask(self.server.runtime / f"kernel-{identity}.json", code, expression)
        with ThreadPoolExecutor(1) as other:  # in this thread Playwright's event loop runs
            return other.submit(asyncio.run, question).result()

    def save_evidence(self, folder: Path, name: str) -> list[Path]:
        """Write what the page shows and what its console said into files, and return them."""
        folder.mkdir(parents=True, exist_ok=True)
        picture, log = folder / f"{name}.png", folder / f"{name}.log"
        self.page.screenshot(path=picture)
        log.write_text("\n".join(self.console) + "\n", encoding="utf-8")
        return [picture, log]

    def _note(self, text: str, wrong: bool) -> None:
        self.console.append(text)
        self.noise += [text] * wrong

    def _heard(self, message: "ConsoleMessage") -> None:
        self._note(f"console {message.type}: {message.text}", wrong=message.type == "error")

    def _answered(self, response: "Response") -> None:
        if response.status >= 400:
            self._note(f"{response.status}: {response.url}", wrong=True)

    def _asked(self, request: "Request") -> None:
        """Note what is asked of another host; only the badge may be, and a stand-in answers for it."""
        here = ("data:", "blob:", f"http://127.0.0.1:{self.server.port}/", BADGE)
        if not request.url.startswith(here):
            self._note(f"asked of another host: {request.url}", wrong=True)


async def _ask(connection: Path, code: str, expression: str) -> object:
    from jupyter_client import AsyncKernelClient

    client = AsyncKernelClient(connection_file=str(connection))
    client.load_connection_file()
    client.start_channels(iopub=False, stdin=False, hb=False, control=False)
    try:
        wanted = {"silent": True, "store_history": False, "user_expressions": {"answer": expression}}
        content = (await client.execute(code, **wanted, reply=True, timeout=LONG))["content"]
    finally:
        client.stop_channels()
    answer = content.get("user_expressions", {}).get("answer", content)
    if answer["status"] != "ok":
        raise RuntimeError("\n".join(answer["traceback"]))
    return ast.literal_eval(answer["data"]["text/plain"])


@contextmanager
def opened(browser: "Browser", server: Server, stem: str, evidence: Path | None = None) -> Iterator[Notebook]:
    """Open a notebook in a page of its own, in the end stop its kernel; after an error leave evidence in a folder."""
    with browser.new_context(viewport=VIEW) as context:
        notebook = Notebook(context.new_page(), server)
        try:
            notebook.open(stem)
            yield notebook
        except Exception:
            if evidence is not None:
                notebook.save_evidence(evidence, stem.replace("/", "-"))
            raise
        notebook.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
