"""Yardsticks of the forecast benchmark: what people use on servers, on the same rows with the same causality.

usage: yardsticks.py FILE KIND STEP_MIN TZ LAT LON HORIZON LAST_DAYS WARMUP_DAYS REFIT_DAYS METHOD
Prints one JSON object: n, mae, pinball, coverage80, scale. HORIZON is `next` or `day` (24 h, issued at 00, 06, 12, 18 UTC).
METHOD: lightgbm (seven quantile models), histgb (scikit-learn, absolute error, quantiles of residuals), ridge (the same), mstl
(statsforecast), mlforecast (recursive LightGBM). All are fitted anew every REFIT_DAYS from everything before the issue.
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


def day_ahead_mstl(series, kind, warmup):
    from statsforecast.models import MSTL, AutoETS

    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    y = series.interpolate(limit_direction="both").to_numpy()
    truth = series.to_numpy()
    actual, forecasts = [], []
    for issue in issues_of(series, per_day, warmup):
        if issue < warmup:
            continue
        model = MSTL(season_length=[per_day, per_day * 7], trend_forecaster=AutoETS(model="ZNN"))
        h = min(per_day, len(y) - issue)
        history = series.iloc[max(0, issue - 28 * per_day):issue].interpolate(limit_direction="both").to_numpy()
        out = model.forecast(y=history, h=h, level=[50, 80, 90])
        order = ["lo-90", "lo-80", "lo-50", "mean", "hi-50", "hi-80", "hi-90"]
        forecasts.append(np.column_stack([out[name] for name in order]))
        actual.append(truth[issue:issue + h])
    actual, forecasts = np.concatenate(actual), np.concatenate(forecasts)
    if kind != "net":
        forecasts = np.maximum(forecasts, 0)
    rows = np.isfinite(actual)
    return actual[rows], forecasts[rows]


def day_ahead_mlforecast(series, kind, tz, warmup, refit_steps):
    import lightgbm as lgb
    from mlforecast import MLForecast

    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    freq = series.index.freq
    truth = series.to_numpy()
    frame = pd.DataFrame({"unique_id": "s", "ds": series.index.tz_localize(None), "y": series.ffill().to_numpy()})
    lags = [1, 2, 3, 4, per_day - 1, per_day, per_day + 1, per_day * 2, per_day * 7]
    local = lambda dates: dates.tz_localize("UTC").tz_convert(tz)
    minute = lambda dates: local(dates).hour * 60 + local(dates).minute
    weekday = lambda dates: local(dates).dayofweek
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
    actual, forecasts = np.concatenate(actual), np.concatenate(forecasts)
    if kind != "net":
        forecasts = np.maximum(forecasts, 0)
    rows = np.isfinite(actual)
    return actual[rows], forecasts[rows]


def next_step_ets(series, kind, warmup):
    """Seasonal exponential smoothing: the day's shape removed by its running mean, simple smoothing by statsforecast's SES on what remains."""
    from statsforecast.models import SimpleExponentialSmoothingOptimized

    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    y = series.to_numpy()
    usual = by_time_of_day(y, per_day)
    rest = pd.Series(y - usual).ffill().fillna(0).to_numpy()
    week = per_day * 7
    forecasts = np.full((len(y), 7), np.nan)
    for start in range(warmup, len(y), week):
        end = min(len(y), start + week)
        model = SimpleExponentialSmoothingOptimized()
        model.fit(rest[:start])
        alpha = float(model.model_["alpha"]) if "alpha" in getattr(model, "model_", {}) else 0.9
        level = pd.Series(rest).ewm(alpha=alpha, adjust=False).mean().shift(1).to_numpy()
        known = np.isfinite(y[:start]) & np.isfinite(usual[:start]) & np.isfinite(level[:start])
        residuals = np.quantile((y - usual - level)[:start][known], QUANTILES)
        forecasts[start:end] = (usual + level)[start:end, None] + residuals
    if kind != "net":
        forecasts = np.maximum(forecasts, 0)
    rows = np.flatnonzero(np.isfinite(y) & np.isfinite(forecasts[:, 0]) & (np.arange(len(y)) >= warmup))
    return y[rows], forecasts[rows]


def main():
    file, kind, step, tz, lat, lon, horizon, last_days, warmup_days, refit_days, method = sys.argv[1:]
    series = read(file, int(step), int(last_days))
    per_day = int(pd.Timedelta(days=1) / series.index.freq)
    warmup, refit = int(warmup_days) * per_day, int(refit_days) * per_day
    lat, lon = float(lat), float(lon)
    if method == "ets":
        actual, forecasts = next_step_ets(series, kind, warmup)
    elif method == "mstl":
        actual, forecasts = day_ahead_mstl(series, kind, warmup)
    elif method == "mlforecast":
        actual, forecasts = day_ahead_mlforecast(series, kind, tz, warmup, refit)
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
