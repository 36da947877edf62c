"""A headless Chromium for tests of pages: what a person does with mouse and keys, and what the browser says."""

import json
import os
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

__all__ = ["Browser", "JourneyBrowser"]

# Nothing that calls home, nothing that waits for a first user.
_OPTIONS = (
    *(
        "--headless=new",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-sync",
        "--window-size=1280,720",
    ),
    *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
)


class Browser:
    """Debian's Chromium, driven from outside.

    Parameters
    ----------
    profile : Path
        Empty folder for its profile.
    """

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for option in (*_OPTIONS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self._driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))

    def close(self) -> None:
        """End the browser."""
        self._driver.quit()

    def open(
        self, path: Path, fragment: str = "", *, width: int = 1280, height: int = 720, dots_per_pixel: float = 1
    ) -> None:
        """Load a file in a window of this size, in pixels; ``fragment`` is what follows the ``#`` of its address."""
        size = {"width": width, "height": height, "deviceScaleFactor": dots_per_pixel, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self._driver.get("about:blank")  # Else only the fragment would change, and the page stay as it was.
        self._requests: list[str] = []
        self.requests()
        self._requests.clear()
        self._driver.get(path.as_uri() + (f"#{fragment}" if fragment else ""))
        self.settle()

    def settle(self) -> None:
        """Wait until two frames have been drawn: one may have been under way."""
        self._driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 20)))"
        )

    @property
    def title(self) -> str:
        """Title of the page."""
        return str(self._driver.title)

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for."""
        for entry in self._driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requests.append(message["params"]["request"]["url"])
        return self._requests

    def complaints(self) -> list[str]:
        """Return what the console has got since the last call."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def picture(self) -> bytes:
        """Return what the window shows, as PNG."""
        return self._driver.get_screenshot_as_png()

    def js(self, expression: str, *arguments: Any) -> Any:
        """Return the value of an expression; ``a`` in it is the list of arguments."""
        return self._driver.execute_script(f"const a = arguments; return ({expression})", *arguments)

    def all(self, selector: str) -> list[WebElement]:
        """Return the visible elements of a selector."""
        return [found for found in self._driver.find_elements(By.CSS_SELECTOR, selector) if found.is_displayed()]

    def one(self, selector: str) -> WebElement:
        """Return the only visible element of a selector."""
        (found,) = self.all(selector)
        return found

    def click(self, selector: str) -> None:
        """Click on the only visible element of a selector."""
        self.one(selector).click()
        self.settle()

    def choose(self, selector: str, value: str) -> None:
        """Choose from a list."""
        Select(self.one(selector)).select_by_value(value)
        self.settle()

    def texts(self, selector: str) -> list[str]:
        """Return the text of each visible element of a selector."""
        return [found.text for found in self.all(selector)]

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        ActionChains(self._driver).send_keys(*keys).perform()
        self.settle()

    def click_at(self, x: float, y: float) -> None:
        """Click at a pixel of the window."""
        actions = ActionBuilder(self._driver)
        actions.pointer_action.move_to_location(round(x), round(y)).click()
        actions.perform()
        self.settle()

    def point_at(self, x: float, y: float) -> None:
        """Move the pointer to a pixel of the window."""
        actions = ActionBuilder(self._driver)
        actions.pointer_action.move_to_location(round(x), round(y))
        actions.perform()
        self.settle()

    def drag(self, x: float, y: float, dx: int, dy: int) -> None:
        """Press the button at a pixel, move, and let go."""
        actions = ActionBuilder(self._driver)
        pointer = actions.pointer_action
        pointer.move_to_location(round(x), round(y)).pointer_down()
        pointer.move_to_location(round(x) + dx // 2, round(y) + dy // 2)
        pointer.move_to_location(round(x) + dx, round(y) + dy).pointer_up()
        actions.perform()
        self.settle()

    def wheel(self, x: float, y: float, dy: int) -> None:
        """Turn the wheel at a pixel of the window; up is negative."""
        origin = ScrollOrigin.from_viewport(round(x), round(y))
        ActionChains(self._driver).scroll_from_origin(origin, 0, dy).perform()
        self.settle()


class JourneyBrowser(Browser):
    """A browser that shows the page of a journey, and asks it what it shows."""

    def view(self, question: str, *arguments: Any) -> Any:
        """Ask the page's ``journeyView``: ``"box(a[0])"`` is where a step is."""
        return self.js(f"journeyView.{question}", *arguments)

    def of_steps(self, question: str, number: int) -> list[Any]:
        """Ask for each of this many steps: ``look``, ``box`` or ``shown``."""
        answers: list[Any] = self.js(f"a[0].map((step) => journeyView.{question}(step))", list(range(number)))
        return answers

    def middle(self, step: int) -> tuple[float, float]:
        """Return a pixel of the window that is in a step's bar."""
        box = self.view("box(a[0])", step)
        return box["left"] + min(box["width"] / 2, 20), box["top"] + box["height"] / 2

    def highlighted(self) -> list[int]:
        """Return the positions of the octets that are shown as changed."""
        return [int(octet.get_attribute("data-i") or -1) for octet in self.all(".o.changed")]
