/* Learning curves ------------------------------------------------------------------------------ */

const COLOURS = { train: "#0072B2", valid: "#D55E00", eval: "#009E73", chance: "currentColor" };
/** Size of the picture, and the place of its axes. */
const CURVE = { width: 420, height: 260, left: 56, right: 392, top: 10, bottom: 220 };

/** Creates an SVG element. */
function shape(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

/** Round numbers within an interval: about `count` of them, or powers of ten on a log scale. */
function ticks(low, high, count, isLog = false) {
  if (isLog) {
    const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
    return Array.from({ length: last - first + 1 }, (_, i) => Number(`1e${first + i}`));
  }
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Maps an interval to the unit interval. */
function scale(low, high, isLog) {
  const of = isLog ? Math.log : (value) => value;
  return (value) => (of(value) - of(low)) / (of(high) - of(low) || 1);
}

/** Training losses at the middle of each completed twentieth, over which the record averages them. */
function trainingLosses({ curve, trainSteps }) {
  const middles = [];
  for (let i = 0; i < 20; i += 1) {
    const start = Math.ceil((i * trainSteps) / 20), end = Math.ceil(((i + 1) * trainSteps) / 20);
    if (start < end) middles.push((start + end) / 2);
  }
  return curve.map((loss, i) => [middles[i], loss]);
}

/** Draws the losses of a run over its training steps, with the chance loss. */
function drawCurve(run) {
  const train = trainingLosses(run);
  const last = { train: train.at(-1)?.[1], valid: run.valid, eval: run.evaluated, chance: run.chance };
  const said = Object.entries(last).filter(([, loss]) => Number.isFinite(loss));
  const losses = [...train, ...run.validation, ...said].map(([, loss]) => loss).filter(Number.isFinite);
  if (!run.trainSteps || said.every(([name]) => name === "chance")) return make("p", {}, "This run has no learning curve.");

  const { axes, x, y } = curveAxes(run.trainSteps, losses);
  const stroke = (name, d) => shape("path", { class: name, d, fill: "none", stroke: COLOURS[name], "stroke-width": 1.7 });
  const dot = (name, fill, r) =>
    shape("circle", { class: name, cx: x(run.stepsDone), cy: y(last[name]), r, fill, stroke: COLOURS[name], "stroke-width": 1.5 });
  const parts = [stroke("train", path(train, x, y)), stroke("valid", path(run.validation, x, y))];
  if (last.chance !== null) {
    const line = stroke("chance", `M${CURVE.left} ${y(last.chance)}H${CURVE.right}`);
    line.setAttribute("stroke-dasharray", "4 3");
    parts.push(line);
  }
  if (last.valid !== null) parts.push(dot("valid", COLOURS.valid, 3.5));
  if (last.eval !== null) parts.push(dot("eval", "none", 5.5));

  const key = said.map(([name, loss]) => `${name} ${format(loss)}`);
  const label = `Loss over ${format(run.trainSteps)} training steps: ${key.join(", ")}`;
  const picture = shape("svg", { viewBox: `0 0 ${CURVE.width} ${CURVE.height}`, role: "img", "aria-label": label });
  picture.append(...axes, ...parts);
  return make("div", {}, picture, make("ul", { class: "key" }, ...said.map(([name], i) =>
    make("li", {}, make("i", { style: `background:${COLOURS[name]}` }), key[i]))));
}

/** Line through points, with gaps where a loss is not finite. */
function path(points, x, y) {
  let isOn = false;
  return points.map(([step, loss]) => {
    const command = isOn ? "L" : "M";
    isOn = Number.isFinite(loss);
    return isOn ? `${command}${x(step).toFixed(1)} ${y(loss).toFixed(1)}` : "";
  }).join("");
}

/** Axes with their labels, and the places of steps and losses on them. */
function curveAxes(trainSteps, losses) {
  const { left, right, top, bottom, height } = CURVE;
  const least = Math.min(...losses), most = Math.max(...losses);
  // Losses that fall by orders of magnitude need a log scale.
  const isLog = least > 0 && most > 50 * least;
  const low = isLog ? 10 ** Math.floor(Math.log10(least)) : Math.min(0, least);
  const high = isLog ? most * 1.5 : (most || 1) * 1.05;
  const up = scale(low, high, isLog);
  const x = (step) => left + ((right - left) * step) / trainSteps;
  const y = (loss) => bottom - (bottom - top) * up(loss);
  const text = (attributes, words) => shape("text", { "font-size": 11, fill: "currentColor", ...attributes }, words);
  const line = (d, opacity) => shape("path", { d, opacity, fill: "none", stroke: "currentColor" });
  const axes = [
    line(`M${left} ${top}V${bottom}H${right}`, 1),
    text({ x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, "training steps"),
    text({ transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, isLog ? "loss (log scale)" : "loss"),
    ...ticks(0, trainSteps, 4).flatMap((step) => [
      line(`M${x(step)} ${bottom}v4`, 1),
      text({ x: x(step), y: bottom + 16, "text-anchor": "middle" }, step.toLocaleString("en"))]),
    ...ticks(low, high, 5, isLog).flatMap((loss) => [
      line(`M${left} ${y(loss)}H${right}`, 0.12),
      text({ x: left - 6, y: y(loss) + 4, "text-anchor": "end" }, format(loss))]),
  ];
  return { axes, x, y };
}

