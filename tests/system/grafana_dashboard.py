# SPDX-License-Identifier: Apache-2.0
"""A dashboard of config/grafana, and what Grafana makes of its queries: variables, macros, steps. No Grafana is needed.

`Viewer(prometheus, ...)` looks at a dashboard as a browser would: it asks Prometheus for the values of the variables, puts them
into a query, and asks it at the end of the time range or at each step of it."""
import json
import os
import re
import urllib.parse

from daemon import REPO

DIRECTORY = os.path.join(REPO, "config", "grafana")
REFERENCE = re.compile(r"\$([a-z_]\w*)|\$\{(\w+)(?::(\w+))?\}")  # $1 is PromQL's
GLOBALS = ("__interval", "__interval_ms", "__rate_interval", "__range", "__range_s", "__range_ms", "__from", "__to")
POINTS = 1000  # of a panel that does not say how many: about the width of a screen
ANNOTATION_POINTS = 100


class Dashboard:
    def __init__(self, name):
        with open(os.path.join(DIRECTORY, name + ".json"), encoding="utf-8") as file:
            self.text = file.read()
        self.model = json.loads(self.text)
        self.uid = self.model["uid"]
        self.rows = [panel for panel in self.model["panels"] if panel["type"] == "row"]
        self.panels = [panel for panel in self.model["panels"] if panel["type"] != "row"]
        self.variables = {variable["name"]: variable for variable in self.model["templating"]["list"]}
        self.annotations = [one for one in self.model["annotations"]["list"] if not one.get("builtIn")]

    def panel(self, title, kind=None):
        found, = [panel for panel in self.panels if panel["title"] == title and kind in (None, panel["type"])]
        return found

    def expressions(self):
        """(where, query) of panels and annotations."""
        return [(f"{self.uid}: {panel['type']} {panel['title']} {target['refId']}", target["expr"])
                for panel in self.panels for target in panel["targets"]] + [
                    (f"{self.uid}: annotation {one['name']}", one["expr"]) for one in self.annotations]

    def urls(self):
        """(where, address) of all links: of the dashboard, of panels and of columns."""
        found = [(link["title"], link["url"]) for link in self.model["links"]]
        for panel in self.panels:
            found += [(panel["title"], link["url"]) for link in panel.get("links", [])]
            found += [(panel["title"], link["url"]) for _, link in column_links(panel)]
        return found


def column_links(panel):
    """(column, link) of a table."""
    return [(override["matcher"]["options"], link) for override in panel["fieldConfig"]["overrides"]
            for one in override["properties"] if one["id"] == "links" for link in one["value"]]


def escape(value):
    """A value within a regular expression within a string of PromQL, as Grafana's data source escapes it."""
    return re.sub(r"[$^*{}\[\]'+?.()|]", lambda found: "\\\\" + found.group(), value.replace("\\", "\\\\\\\\"))


class Viewer:
    """Somebody who looks at `dashboard` with these `choices` of its variables (All, or the first value, where nothing is
    chosen), over the last `seconds` before `end`."""

    def __init__(self, prometheus, dashboard, end, seconds=900, scrape=1, choices=None):
        self.prometheus, self.dashboard = prometheus, dashboard
        self.end, self.seconds, self.scrape = end, seconds, scrape
        self.phase = 0  # Grafana asks at multiples of the step; a test may want other moments
        self.choices = choices or {}
        self.options = {}
        for name, variable in dashboard.variables.items():  # in order: each may use those before it
            self.options[name] = self.values_of(variable)

    def values_of(self, variable):
        if variable["type"] in ("datasource", "textbox"):
            return [variable["query"]]
        found = re.fullmatch(r"label_values\((?:(.+), )?(\w+)\)", variable["query"]["query"])
        if not found:
            raise AssertionError(f"{variable['name']}: a query that is not known here")
        series, label = found.groups()
        parameters = {"match[]": self.interpolate(series)} if series else {}
        return self.prometheus.api(f"label/{label}/values", start=self.end - self.seconds, end=self.end, **parameters)

    def value(self, name):
        """As it stands in a query."""
        variable = self.dashboard.variables[name]
        chosen = self.choices.get(name)
        if chosen is None and variable.get("includeAll"):
            if variable.get("allValue"):
                return variable["allValue"]
            chosen = self.options[name]
        if isinstance(chosen, list):
            return escape(chosen[0]) if len(chosen) == 1 else f"({'|'.join(map(escape, chosen))})"
        chosen = chosen or next(iter(self.options[name]), "")
        return escape(chosen) if variable.get("includeAll") else chosen.replace("\\", "\\\\").replace('"', '\\"')

    def step(self, points=POINTS, least=0):
        return max(self.scrape, least, -(-self.seconds // points), -(-self.seconds // 11000))

    def interpolate(self, text, step=1, least=0):
        scrape = max(self.scrape, least)
        macros = {"__interval": f"{step}s", "__interval_ms": str(1000 * step), "__range": f"{self.seconds}s",
                  "__range_s": str(self.seconds), "__range_ms": str(1000 * self.seconds),
                  "__rate_interval": f"{max(step + scrape, 4 * scrape)}s"}

        def put(found):
            name = found.group(1) or found.group(2)
            if name in macros:
                return macros[name]
            if name not in self.dashboard.variables or found.group(3):
                raise AssertionError(f"{found.group()} is nothing that Grafana would replace")
            return self.value(name)
        return REFERENCE.sub(put, text)

    def follow(self, url, value="", fields=None):
        """(UID of the dashboard, choices of its variables) that a link leads to, from a cell with `value` in a row of `fields`."""
        def put(found):
            name, _, form = found.group(1).partition(":")
            if form == "queryparam":
                return urllib.parse.urlencode([(f"var-{name}", one) for one in self.choices.get(name, ["$__all"])])
            if name == "__url_time_range":
                return f"from={1000 * (self.end - self.seconds)}&to={1000 * self.end}"
            known = {"__value.raw": value, **{f"__data.fields.{key}": one for key, one in (fields or {}).items()}}
            text = known[name] if name in known else self.value(name)
            return urllib.parse.quote(text, safe="") if form == "percentencode" else text
        parts = urllib.parse.urlsplit(re.sub(r"\$\{([^}]+)\}", put, url))
        chosen = {name[4:]: values for name, values in urllib.parse.parse_qs(parts.query, strict_parsing=True).items()
                  if name.startswith("var-") and values != ["$__all"]}
        return parts.path.split("/")[2], chosen

    def ask(self, expression, step=None, least=0):
        """[(labels, last value)]."""
        return [(labels, values[-1]) for labels, values in self.ask_all(expression, step, least)]

    def ask_all(self, expression, step=None, least=0):
        """[(labels, values)]: at the end of the time range or, with `step`, at each step of it. NaN is no value."""
        text = self.interpolate(expression, step or self.step(), least)
        if step is None:
            found = self.prometheus.api("query", query=text, time=self.end)["result"]
            found = [(one["metric"], [one["value"]]) for one in found]
        else:
            begin, end = ((when - self.phase) // step * step + self.phase for when in (self.end - self.seconds, self.end))
            found = self.prometheus.api("query_range", query=text, start=begin, end=end, step=step)["result"]
            found = [(one["metric"], one["values"]) for one in found]
        return [(labels, values) for labels, values in
                ((labels, [float(value) for _, value in values if value != "NaN"]) for labels, values in found) if values]

    def ask_panel(self, panel):
        """By refId what each query of the panel gives."""
        step = self.step(panel.get("maxDataPoints", POINTS))
        return {target["refId"]: self.ask(target["expr"], None if target["instant"] else step) for target in panel["targets"]}

    def ask_annotation(self, annotation):
        """The step of an annotation is what the scrape interval is to a panel: the least one, and part of `$__rate_interval`."""
        least = self.annotation_least(annotation)
        return self.ask(annotation["expr"], self.step(ANNOTATION_POINTS, least), least)

    @staticmethod
    def annotation_least(annotation):
        number, unit = re.fullmatch(r"(\d+)([smh])", annotation["step"]).groups()
        return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]

    def fields(self, panel):
        """Columns of a table before it is organised."""
        asked = self.ask_panel(panel)
        return {"Time"} | {label for found in asked.values() for labels, _ in found for label in labels} | {
            "Value" if len(asked) == 1 else f"Value #{ref}" for ref, found in asked.items() if found}

    def rows(self, panel):
        """What a table shows: a dict for each line, by the columns' shown names."""
        organize, = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
        asked = self.ask_panel(panel)
        merged = {}
        for ref, found in asked.items():
            for labels, value in found:
                line = merged.setdefault(tuple(sorted(labels.items())), dict(labels))
                line["Value" if len(asked) == 1 else f"Value #{ref}"] = value
        return [{organize["renameByName"].get(key, key): value for key, value in line.items()
                 if key not in organize["excludeByName"]} for line in merged.values()]
