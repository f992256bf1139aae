"""The page at "/" in a real browser: "Try it out" gives a character, and nothing leaves the host."""
import json
import os
import shutil

import jsonschema
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

from conftest import ROOT
from serving import serving

EXAMPLE = ROOT / "examples/character"
SCHEMA = json.loads((EXAMPLE / "character.schema.json").read_text())


@pytest.fixture(scope="module")
def server(cloze):
    with serving(cloze.program, EXAMPLE) as server:
        yield server


@pytest.fixture
def browser():
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--window-size=1280,1800"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield browser
    browser.quit()


def click(browser, selector):
    element = WebDriverWait(browser, 30).until(
        expected.element_to_be_clickable((By.CSS_SELECTOR, selector)))
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    browser.execute_script("arguments[0].click()", element)


def requested_urls(browser):
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]


def test_try_it_out(server, browser):
    browser.get(server.url + "/")
    click(browser, "#operations-Service_APIs-Outlines__generate .opblock-summary-control")
    click(browser, ".try-out__btn")
    text = WebDriverWait(browser, 30).until(
        expected.presence_of_element_located((By.CSS_SELECTOR, "textarea.body-param__text")))
    assert json.loads(text.get_attribute("value"))["prompt"] == "Give me a character description."
    click(browser, ".execute")
    answer = WebDriverWait(browser, 120).until(expected.presence_of_element_located(
        (By.CSS_SELECTOR, ".live-responses-table .response .highlight-code code")))
    assert browser.title == "Outlines - Cloze"
    if os.environ.get("CLOZE_SCREENSHOT"):
        browser.save_screenshot(os.environ["CLOZE_SCREENSHOT"])
    jsonschema.validate(json.loads(answer.text), SCHEMA)
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
    for url in requested_urls(browser):
        assert url.startswith((server.url, "data:", "blob:", "chrome")), url
