"""Yardsticks of the forecast benchmark: what people use on servers, on the same rows with the same causality.

usage: yardsticks.py FILE KIND STEP_MIN TZ LAT LON HORIZON LAST_DAYS WARMUP_DAYS REFIT_DAYS METHOD
HORIZON is `next` (issued before every step) or `day` (24 h, issued at 00, 06, 12, 18 UTC). The last LAST_DAYS of the file are read, the
first WARMUP_DAYS of them are not scored. Prints one JSON object: n, mae, nmae, pinball, npinball (over the mean of the positive values),
coverage80 (rows inside the 80 % band, of all rows). METHOD, each fitted anew every REFIT_DAYS from what had ended before:
  lightgbm    seven quantile models; lags, calendar, clear sky; the change from the last value (PV: moved on with the sun)
  histgb      the same inputs, scikit-learn, absolute error; bands are quantiles of its residuals
  ridge       the same inputs and daily waves, scikit-learn; bands likewise
  mlforecast  LightGBM through mlforecast: lags, rolling means, calendar; a day ahead recursively
  ets, arima  statsforecast; next: on the difference to the usual of the time of day, day: on the trend of MSTL
  mstl        statsforecast, day ahead alone: daily and weekly seasons, seasonal naive trend (fitted at each issue, as the two above)
"""

import json
import sys
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
QUANTILES = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])


def read(file, step_min, last_days):
    frame = pd.read_csv(file, parse_dates=["time"])
    column = frame.columns[1]
    values = frame[column].to_numpy(float)
    source_min = int(frame["time"].diff().min().total_seconds() // 60)
    if column.endswith("_wh"):
        values = values * 60 / source_min
    series = pd.Series(values, index=pd.DatetimeIndex(frame["time"]))
    if step_min > source_min:
        groups = series.groupby(series.index.floor(f"{step_min}min"))
        series = groups.mean()[groups.count() == step_min // source_min]
    series = series.asfreq(f"{step_min}min")
    if last_days > 0:
        series = series[series.index >= series.index[-1] - pd.Timedelta(days=last_days)]
    return series


def clear_sky(times, lat, lon):
    if not (np.isfinite(lat) and np.isfinite(lon)):
        return np.full(len(times), np.nan)
    day = times.dayofyear.to_numpy() + times.hour.to_numpy() / 24
    g = 2 * np.pi * (day - 1) / 365
    declination = 0.006918 - 0.399912 * np.cos(g) + 0.070257 * np.sin(g) - 0.006758 * np.cos(2 * g) + 0.000907 * np.sin(2 * g)
    equation = 229.18 * (0.000075 + 0.001868 * np.cos(g) - 0.032077 * np.sin(g) - 0.014615 * np.cos(2 * g) - 0.040849 * np.sin(2 * g))
    minute = times.hour.to_numpy() * 60 + times.minute.to_numpy()
    hour_angle = np.radians((minute + equation + 4 * lon) / 4 - 180)
    cosz = np.sin(np.radians(lat)) * np.sin(declination) + np.cos(np.radians(lat)) * np.cos(declination) * np.cos(hour_angle)
    cosz = np.clip(cosz, 0.001, None)
    return np.where(cosz > 0.01, 1098 * cosz * np.exp(-0.057 / cosz), 0.0)


def lag(y, k):
    return np.concatenate([np.full(k, np.nan), y[:-k]]) if k > 0 else y


def rolling(y, k, what="mean"):
    roll = pd.Series(y).rolling(k, min_periods=1)
    return (roll.mean() if what == "mean" else roll.std()).to_numpy()


def by_time_of_day(y, per_day, alpha=0.15):
    """Exponential mean of the same time of day, known before the step."""
    result = np.full(len(y), np.nan)
    state = np.full(per_day, np.nan)
    for i, value in enumerate(y):
        slot = i % per_day
        result[i] = state[slot]
        if np.isfinite(value):
            state[slot] = value if not np.isfinite(state[slot]) else state[slot] + alpha * (value - state[slot])
    return result


def calendar(series, tz):
    local = series.index.tz_convert(tz)
    minute = local.hour.to_numpy() * 60 + local.minute.to_numpy()
    return minute, local.dayofweek.to_numpy()


def pinball(q, y):
    d = y[:, None] - q
    return np.maximum(QUANTILES * d, (QUANTILES - 1) * d)


class Quantiles:
    """A model of the change from a base to quantiles of the value."""

    def __init__(self, method):
        self.method = method

    def fit(self, x, y):
        self.columns = np.isfinite(x).any(axis=0)
        x = x[:, self.columns]
        if self.method == "lightgbm":
            import lightgbm as lgb

            data = lgb.Dataset(x, y, params={"max_bin": 127, "verbosity": -1, "feature_pre_filter": False}, free_raw_data=False)
            common = dict(objective="quantile", num_leaves=31, learning_rate=0.06, min_data_in_leaf=30, bagging_fraction=0.8,
                          bagging_freq=1, feature_fraction=0.8, num_threads=1, verbosity=-1, seed=1)
            self.models = [lgb.train({**common, "alpha": q}, data, 120) for q in QUANTILES]
            return self
        if self.method == "histgb":
            from sklearn.ensemble import HistGradientBoostingRegressor

            self.model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=150, learning_rate=0.06, random_state=1)
            self.model.fit(x, y)
        else:
            from sklearn.linear_model import Ridge
            from sklearn.preprocessing import StandardScaler

            self.fill = np.nanmean(x, axis=0)
            self.fill[~np.isfinite(self.fill)] = 0
            self.scaler = StandardScaler()
            self.model = Ridge(alpha=10.0)
            self.model.fit(self.scaler.fit_transform(np.where(np.isfinite(x), x, self.fill)), y)
        self.residuals = np.quantile(y - self.point(x), QUANTILES)
        return self

    def point(self, x):
        if self.method == "histgb":
            return self.model.predict(x)
        return self.model.predict(self.scaler.transform(np.where(np.isfinite(x), x, self.fill)))

    def predict(self, x):
        x = x[:, self.columns]
        if self.method == "lightgbm":
            return np.sort(np.column_stack([m.predict(x) for m in self.models]), axis=1)
        return self.point(x)[:, None] + self.residuals


def harmonics(minute, weekday, ridge):
    if not ridge:
        return [minute, weekday]
    angle = 2 * np.pi * minute / 1440
    waves = [f(k * angle) for k in (1, 2, 3, 4) for f in (np.sin, np.cos)]
    return waves + [(weekday == d).astype(float) for d in range(7)] + [(weekday >= 5) * w for w in waves[:4]]


def next_step(series, kind, tz, lat, lon, warmup, refit_steps, method):
    y = series.to_numpy()
    n, per_day = len(y), int(pd.Timedelta(days=1) / series.index.freq)
    minute, weekday = calendar(series, tz)
    last = lag(y, 1)
    sky = clear_sky(series.index + series.index.freq / 2, lat, lon)
    base = last.copy()
    if kind == "pv" and np.isfinite(sky).any():
        base = np.where(lag(sky, 1) > 50, last * np.clip(sky / np.maximum(lag(sky, 1), 50), 0, 3), last)
    base = np.where(np.isfinite(base), base, lag(y, per_day))
    usual = by_time_of_day(y, per_day)
    columns = [last, base, usual] + [lag(y, k) - last for k in (2, 3, 4, 5, 6, 8)]
    columns += [rolling(last, k) for k in (4, 16, per_day)] + [rolling(last, 8, "std")]
    columns += [lag(y, per_day + k) for k in (-1, 0, 1) if per_day + k > 0] + [lag(y, per_day * 7), lag(y, per_day * 2)]
    columns += [last - lag(y, per_day + 1), last - lag(usual, 1), sky, lag(sky, 1)]
    x = np.column_stack(columns + harmonics(minute, weekday, method == "ridge")).astype(float)
    known = np.isfinite(y) & np.isfinite(base)
    forecasts = np.full((n, 7), np.nan)
    for start in range(warmup, n, refit_steps):
        rows = np.flatnonzero(known[:start])
        rows = rows[rows >= per_day]
        model = Quantiles(method).fit(x[rows], (y - base)[rows])
        span = slice(start, min(n, start + refit_steps))
        forecasts[span] = model.predict(x[span]) + base[span, None]
    if kind != "net":
        forecasts = np.maximum(forecasts, 0)
    rows = np.flatnonzero(np.isfinite(y) & np.isfinite(forecasts[:, 0]) & (np.arange(n) >= warmup))
    return y[rows], forecasts[rows]


def issues_of(series, per_day, warmup):
    hours = series.index.hour.to_numpy() * 60 + series.index.minute.to_numpy()
    at = np.flatnonzero(hours % 360 == 0)
    return at[at >= per_day]


def day_features(series, tz, lat, lon, method, issues, per_day):
    y = series.to_numpy()
    minute, weekday = calendar(series, tz)
    sky = clear_sky(series.index + series.index.freq / 2, lat, lon)
    usual_known = by_time_of_day(y, per_day)
    filled = pd.Series(y).ffill().to_numpy()
    means = {k: rolling(y, k) for k in (4, 16, per_day, per_day * 7)}
    i = np.repeat(issues, per_day)
    lead = np.tile(np.arange(per_day), len(issues))
    target = i + lead
    keep = target < len(y)
    i, lead, target = i[keep], lead[keep], target[keep]

    def back(k):
        place = target - k
        return np.where(place >= 0, y[np.maximum(place, 0)], np.nan)

    # The mean of the time of day may hold only what ended by the issue: the one before the last whole day.
    usual = usual_known[np.maximum(target - per_day, 0)]
    usual = np.where(np.isfinite(back(per_day)), usual + 0.15 * (back(per_day) - usual), usual)
    columns = [lead, filled[i - 1]] + [m[i - 1] for m in means.values()]
    columns += [back(per_day), back(per_day * 2), back(per_day * 7), usual, sky[target]]
    columns += [filled[i - 1] - y[np.maximum(i - 1 - per_day, 0)]]
    if method == "ridge":
        decay = np.exp(-lead / (per_day / 8))
        columns += [decay * filled[i - 1], decay * usual, decay * columns[-1]]
    x = np.column_stack(columns + harmonics(minute[target], weekday[target], method == "ridge")).astype(float)
    base = np.where(np.isfinite(usual), usual, means[per_day][i - 1])
    return x, base, target, i


def day_ahead(series, kind, tz, lat, lon, warmup, refit_steps, method):
    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    y = series.to_numpy()
    issues = issues_of(series, per_day, warmup)
    x, base, target, issue = day_features(series, tz, lat, lon, method, issues, per_day)
    known = np.isfinite(y[target]) & np.isfinite(base)
    forecasts = np.full((len(target), 7), np.nan)
    for start in range(warmup, len(y), refit_steps):
        test = (issue >= start) & (issue < start + refit_steps)
        train = known & (target < start) & (issue < start)
        if not test.any() or train.sum() < 200:
            continue
        model = Quantiles(method).fit(x[train], (y[target] - base)[train])
        forecasts[test] = model.predict(x[test]) + base[test, None]
    if kind != "net":
        forecasts = np.maximum(forecasts, 0)
    rows = np.isfinite(y[target]) & np.isfinite(forecasts[:, 0]) & (issue >= warmup)
    return y[target][rows], forecasts[rows]


def day_ahead_mstl(series, kind, warmup, method):
    from statsforecast.models import ARIMA, MSTL, AutoETS, RandomWalkWithDrift

    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    truth = series.to_numpy()
    actual, forecasts = [], []
    for issue in issues_of(series, per_day, warmup):
        if issue < warmup:
            continue
        trend = {"mstl": RandomWalkWithDrift, "ets": lambda: AutoETS(model="ZNN"), "arima": lambda: ARIMA(order=(1, 0, 1))}[method]()
        model = MSTL(season_length=[per_day, per_day * 7], trend_forecaster=trend)
        h = min(per_day, len(truth) - issue)
        history = series.iloc[max(0, issue - 28 * per_day):issue].interpolate(limit_direction="both").to_numpy()
        out = model.forecast(y=history, h=h, level=[50, 80, 90])
        order = ["lo-90", "lo-80", "lo-50", "mean", "hi-50", "hi-80", "hi-90"]
        forecasts.append(np.column_stack([out[name] for name in order]))
        actual.append(truth[issue:issue + h])
    return scored(np.concatenate(actual), np.concatenate(forecasts), kind)


def scored(actual, forecasts, kind):
    """The rows that can be scored; generation and consumption are not negative."""
    if kind != "net":
        forecasts = np.maximum(forecasts, 0)
    rows = np.isfinite(actual) & np.isfinite(forecasts).all(axis=1)
    return actual[rows], forecasts[rows]


def local_dates(tz):
    def local(dates):
        return dates.tz_localize("UTC").tz_convert(tz)

    def minute(dates):
        return local(dates).hour * 60 + local(dates).minute

    def weekday(dates):
        return local(dates).dayofweek

    return minute, weekday


def day_ahead_mlforecast(series, kind, tz, warmup, refit_steps):
    import lightgbm as lgb
    from mlforecast import MLForecast

    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    freq = series.index.freq
    truth = series.to_numpy()
    frame = pd.DataFrame({"unique_id": "s", "ds": series.index.tz_localize(None), "y": series.ffill().to_numpy()})
    lags = [1, 2, 3, 4, per_day - 1, per_day, per_day + 1, per_day * 2, per_day * 7]
    minute, weekday = local_dates(tz)
    actual, forecasts, model, fitted = [], [], None, -refit_steps
    for issue in issues_of(series, per_day, warmup):
        if issue < warmup:
            continue
        history = frame.iloc[:issue].dropna()
        if issue - fitted >= refit_steps:
            model = MLForecast(
                models={"q": lgb.LGBMRegressor(objective="mae", n_estimators=150, learning_rate=0.06, verbosity=-1, n_jobs=1)},
                freq=freq, lags=lags, date_features=[minute, weekday])
            model.fit(history, fitted=True)
            fitted = issue
            inside = model.forecast_fitted_values()
            residuals = np.quantile(inside["y"] - inside["q"], QUANTILES)
        else:
            model.update(history.iloc[-(issue - updated):])
        updated = issue
        h = min(per_day, len(truth) - issue)
        point = model.predict(h=h)["q"].to_numpy()
        forecasts.append(point[:, None] + residuals)
        actual.append(truth[issue:issue + h])
    return scored(np.concatenate(actual), np.concatenate(forecasts), kind)


def next_step_mlforecast(series, kind, tz, warmup, refit_steps):
    """Its features for every step (each from earlier steps alone), LightGBM's seven quantile models on them."""
    import lightgbm as lgb
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean

    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    truth = series.to_numpy()
    frame = pd.DataFrame({"unique_id": "s", "ds": series.index.tz_localize(None), "y": series.ffill().to_numpy()})
    minute, weekday = local_dates(tz)
    maker = MLForecast(
        models=[], freq=series.index.freq, lags=[1, 2, 3, 4, 5, 6, per_day - 1, per_day, per_day + 1, per_day * 2, per_day * 7],
        lag_transforms={1: [RollingMean(4), RollingMean(16), RollingMean(per_day)]}, date_features=[minute, weekday])
    made = maker.preprocess(frame, dropna=False)
    x = made.drop(columns=["unique_id", "ds", "y"]).to_numpy(float)
    last = x[:, 0]
    known = np.isfinite(truth) & np.isfinite(last)
    forecasts = np.full((len(truth), 7), np.nan)
    for start in range(warmup, len(truth), refit_steps):
        rows = np.flatnonzero(known[:start])
        rows = rows[rows >= per_day]
        model = Quantiles("lightgbm").fit(x[rows], truth[rows])
        span = slice(start, min(len(truth), start + refit_steps))
        forecasts[span] = model.predict(x[span])
    return scored(truth[warmup:], forecasts[warmup:], kind)


def next_step_statistical(series, kind, warmup, refit_steps, method):
    """The usual of the time of day taken off; statsforecast's ETS or ARIMA on what remains, its parameters fitted anew at each refit."""
    from statsforecast.models import ARIMA, AutoETS

    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    y = series.to_numpy()
    usual = by_time_of_day(y, per_day)
    rest = pd.Series(y - usual).ffill().fillna(0).to_numpy()
    forecasts = np.full((len(y), 7), np.nan)
    for start in range(warmup, len(y), refit_steps):
        end = min(len(y), start + refit_steps)
        first = max(0, start - 28 * per_day)
        model = AutoETS(model="ANN") if method == "ets" else ARIMA(order=(2, 0, 1))
        model = model.fit(rest[first:start])
        # One step ahead with those parameters: each fitted value knows the values before it alone.
        ahead = model.forward(y=rest[first:end], h=1, fitted=True)["fitted"]
        known = np.isfinite(y[first:start])
        residuals = np.quantile((rest[first:start] - ahead[: start - first])[known], QUANTILES)
        forecasts[start:end] = (usual[start:end] + ahead[start - first:])[:, None] + residuals
    return scored(y[warmup:], forecasts[warmup:], kind)


def main():
    file, kind, step, tz, lat, lon, horizon, last_days, warmup_days, refit_days, method = sys.argv[1:]
    series = read(file, int(step), int(last_days))
    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    warmup, refit = int(warmup_days) * per_day, int(refit_days) * per_day
    lat, lon = float(lat), float(lon)
    if method in ("ets", "arima", "mstl"):
        if horizon == "next":
            actual, forecasts = next_step_statistical(series, kind, warmup, refit, method)
        else:
            actual, forecasts = day_ahead_mstl(series, kind, warmup, method)
    elif method == "mlforecast":
        run = next_step_mlforecast if horizon == "next" else day_ahead_mlforecast
        actual, forecasts = run(series, kind, tz, warmup, refit)
    else:
        run = next_step if horizon == "next" else day_ahead
        actual, forecasts = run(series, kind, tz, lat, lon, warmup, refit, method)
    scale = actual[actual > 0].mean()
    inside = (actual >= forecasts[:, 1]) & (actual <= forecasts[:, 5])
    print(json.dumps({
        "n": len(actual),
        "mae": float(np.abs(actual - forecasts[:, 3]).mean()),
        "nmae": float(np.abs(actual - forecasts[:, 3]).mean() / scale),
        "pinball": float(pinball(forecasts, actual).mean()),
        "npinball": float(pinball(forecasts, actual).mean() / scale),
        "coverage80": float(inside.mean()),
    }))


main()
