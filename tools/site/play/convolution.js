// The second part of the page: the arithmetic of one convolution, product by product.
"use strict";

{
  const { text, number } = oneByOne;
  const find = (id) => document.getElementById(id);
  // Least and most of each slider; that of groups counts the divisors of both numbers of channels.
  const LIMITS = {
    ...{ size: [3, 7], kernel: [1, 5], stride: [1, 3], padding: [0, 2], dilation: [1, 3] },
    ...{ inputs: [1, 4], outputs: [1, 4], groups: [1, 4] },
  };
  const PLAIN = {
    ...{ size: 5, kernel: 3, stride: 1, padding: 1, dilation: 1 },
    ...{ inputs: 2, outputs: 2, groups: 1 },
  };
  const PRESETS = {
    plain: PLAIN,
    pointwise: { ...PLAIN, kernel: 1, padding: 0, inputs: 3 },
    depthwise: { ...PLAIN, inputs: 3, outputs: 3, groups: 3 },
    strided: { ...PLAIN, stride: 2 },
    dilated: { ...PLAIN, size: 7, padding: 2, dilation: 2 },
  };

  const arithmetic = { settings: { ...PLAIN }, product: 0 };
  oneByOne.arithmetic = arithmetic;

  const divisors = ({ inputs, outputs }) =>
    [1, 2, 3, 4].filter((groups) => inputs % groups === 0 && outputs % groups === 0);

  // Small whole numbers that are always the same: pixels 0 to 4, weights −1 to 2.
  const digits = (count, start, values) => {
    let random = start;
    return Float32Array.from({ length: count }, () => {
      random = (random * 1103515245 + 12345) % 2147483648;
      return values[(random >> 16) % values.length];
    });
  };

  // Everything that is computed: null where the kernel is larger than the padded input.
  oneByOne.convolution = (settings) => {
    const { size, kernel, stride, padding, dilation, inputs, outputs, groups } = settings;
    const side = oneByOne.outputSize(size, kernel, stride, padding, dilation);
    if (side < 1) return null;
    const seen = inputs / groups;
    const image = { shape: [inputs, size, size], values: digits(inputs * size ** 2, 7, [0, 1, 2, 3, 4]) };
    const weight = digits(outputs * seen * kernel ** 2, 5, [-1, 0, 1, 2]);
    const step = { kernel_size: kernel, stride, padding, dilation, groups };
    const output = oneByOne.operations.conv(step, { weight }, image);
    return { side, seen, image, weight, output };
  };

  // The product number `n` of a layer: its factors, and the sum up to it.
  oneByOne.product = (settings, layer, n) => {
    const { size, kernel, stride, padding, dilation, outputs, groups } = settings;
    const { side, seen } = layer;
    const count = seen * kernel ** 2;
    const position = Math.floor(n / count);
    const channel = Math.floor(position / side ** 2);
    const row = Math.floor((position % side ** 2) / side);
    const column = position % side;
    const first = Math.floor(channel / (outputs / groups)) * seen;
    const factors = (place) => {
      const c = Math.floor(place / kernel ** 2);
      const [i, j] = [Math.floor((place % kernel ** 2) / kernel), place % kernel];
      const [y, x] = [row * stride - padding + i * dilation, column * stride - padding + j * dilation];
      const inside = y >= 0 && y < size && x >= 0 && x < size;
      const pixel = inside ? layer.image.values[((first + c) * size + y) * size + x] : 0;
      return { c, i, j, y, x, pixel, weight: layer.weight[channel * count + place] };
    };
    let sum = 0;
    for (let place = 0; place <= n % count; place++) {
      const { pixel, weight } = factors(place);
      sum += pixel * weight;
    }
    const now = factors(n % count);
    return { ...now, channel, row, column, first, count, number: (n % count) + 1, sum };
  };

  // --- grids of numbers --------------------------------------------------------------------------

  // An SVG of rows × columns cells; `cell` gives the classes and the text of one.
  const grid = (label, rows, columns, cell, frame) => {
    const parts = [];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const { kind, words } = cell(row, column);
        parts.push(`<rect class="${kind}" x="${column}" y="${row}" width="1" height="1"/>`);
        parts.push(`<text class="${kind}" x="${column + 0.5}" y="${row + 0.5}">${words}</text>`);
      }
    }
    if (frame) {
      const [row, column] = frame;
      parts.push(`<rect class="play-now" x="${column}" y="${row}" width="1" height="1"/>`);
    }
    const box = `-0.06 -0.06 ${columns + 0.12} ${rows + 0.12}`;
    return (
      `<figure class="play-grid" style="--columns: ${columns}"><figcaption>${label}</figcaption>` +
      `<svg viewBox="${box}" role="img" aria-label="${label}">${parts.join("")}</svg></figure>`
    );
  };

  const draw = (layer, at) => {
    const { size, kernel, stride, padding, dilation, inputs, groups, outputs } = arithmetic.settings;
    const { side, seen } = layer;
    const whole = size + 2 * padding;
    const group = (html) => `<div class="play-group">${html.join("")}</div>`;
    const input = Array.from({ length: inputs }, (_, c) => {
      const used = c >= at.first && c < at.first + seen;
      const cell = (row, column) => {
        const [y, x] = [row - padding, column - padding];
        const real = y >= 0 && y < size && x >= 0 && x < size;
        const [i, j] = [(row - at.row * stride) / dilation, (column - at.column * stride) / dilation];
        const covered = [i, j].every((k) => Number.isInteger(k) && k >= 0 && k < kernel);
        const kind = used && covered ? "window" : real ? "input" : "padding";
        const value = real ? layer.image.values[(c * size + y) * size + x] : 0;
        return { kind: used ? kind : `${kind} unused`, words: number(value) };
      };
      const frame = c === at.first + at.c ? [at.y + padding, at.x + padding] : null;
      return grid(text("grid_input", { channel: c }), whole, whole, cell, frame);
    });
    const weights = Array.from({ length: seen }, (_, c) => {
      const cell = (i, j) => {
        const place = ((at.channel * seen + c) * kernel + i) * kernel + j;
        return { kind: "weight", words: number(layer.weight[place]) };
      };
      const label = text("grid_kernel", { number: at.channel, channel: at.first + c });
      return grid(label, kernel, kernel, cell, c === at.c ? [at.i, at.j] : null);
    });
    const last = at.number === at.count;
    const position = (at.channel * side + at.row) * side + at.column;
    const output = Array.from({ length: outputs }, (_, c) => {
      const cell = (row, column) => {
        const here = (c * side + row) * side + column;
        if (here > position) return { kind: "empty", words: "" };
        const now = here === position;
        const value = now ? at.sum : layer.output.values[here];
        return { kind: now && !last ? "window" : "output", words: number(value) };
      };
      const frame = c === at.channel ? [at.row, at.column] : null;
      return grid(text("grid_output", { channel: c }), side, side, cell, frame);
    });
    find("play-grids").innerHTML =
      group(input) + group(weights) + group(output);
  };

  // --- state -------------------------------------------------------------------------------------

  let layer = null;
  const total = () => layer.output.values.length * layer.seen * arithmetic.settings.kernel ** 2;

  const step = () => {
    const settings = arithmetic.settings;
    arithmetic.product = Math.max(0, Math.min(total() - 1, arithmetic.product));
    const at = oneByOne.product(settings, layer, arithmetic.product);
    const slider = find("play-product");
    slider.value = arithmetic.product;
    slider.setAttribute("aria-valuetext", `${arithmetic.product + 1} / ${total()}`);
    const brackets = (value) => (value < 0 ? `(${number(value)})` : number(value));
    find("play-sentence").textContent = text(at.number === at.count ? "sentence_done" : "sentence", {
      place: [at.channel, at.row, at.column].join(", "),
      number: at.number,
      count: at.count,
      pixel: number(at.pixel),
      weight: brackets(at.weight),
      product: number(at.pixel * at.weight),
      sum: number(at.sum),
    });
    draw(layer, at);
  };

  const controls = {};
  const change = () => {
    const settings = arithmetic.settings;
    const possible = divisors(settings);
    if (!possible.includes(settings.groups)) {
      settings.groups = possible.findLast((groups) => groups <= settings.groups);
    }
    for (const [name, { input, value, label }] of Object.entries(controls)) {
      const isGroups = name === "groups";
      if (isGroups) input.max = possible.length - 1;
      input.value = isGroups ? possible.indexOf(settings.groups) : settings[name];
      input.disabled = isGroups && possible.length === 1;
      input.setAttribute("aria-valuetext", settings[name]);
      label.textContent = text(name);
      value.textContent = settings[name];
    }
    layer = oneByOne.convolution(settings);
    const buttons = ["back", "run", "forward", "product"].map((name) => find(`play-${name}`));
    for (const button of buttons) button.disabled = layer === null;
    if (!layer) {
      stop();
      find("play-counts").textContent = text("does_not_fit", {
        covered: settings.dilation * (settings.kernel - 1) + 1,
        padded: settings.size + 2 * settings.padding,
      });
      find("play-sentence").textContent = "";
      find("play-grids").replaceChildren();
      return;
    }
    const weights = layer.weight.length;
    find("play-counts").textContent = text("counts", {
      ...settings,
      side: layer.side,
      seen: settings.groups > 1 ? `(${settings.inputs} / ${settings.groups})` : settings.inputs,
      weights,
      macs: layer.side ** 2 * weights,
    });
    find("play-product").max = total() - 1;
    step();
  };

  const move = (products) => {
    arithmetic.product += products;
    step();
  };

  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    find("play-run").textContent = text("run");
    find("play-sentence").setAttribute("aria-live", "polite");
  };
  // Only on demand: nothing moves by itself.
  const run = () => {
    if (timer !== null) return stop();
    if (arithmetic.product >= total() - 1) arithmetic.product = -1;
    find("play-run").textContent = text("stop");
    find("play-sentence").setAttribute("aria-live", "off");
    timer = setInterval(() => {
      move(1);
      if (arithmetic.product >= total() - 1) stop();
    }, 500);
  };

  for (const [name, [least, most]] of Object.entries(LIMITS)) {
    const around = document.createElement("label");
    const label = document.createElement("span");
    const input = document.createElement("input");
    const value = document.createElement("output");
    Object.assign(input, { type: "range", name: `play-${name}`, min: least, max: most, step: 1 });
    if (name === "groups") Object.assign(input, { min: 0, max: 0 });
    input.addEventListener("input", () => {
      const chosen = Number(input.value);
      arithmetic.settings[name] = name === "groups" ? divisors(arithmetic.settings)[chosen] : chosen;
      arithmetic.product = 0;
      change();
    });
    around.append(label, input, value);
    find("play-sliders").append(around);
    controls[name] = { input, value, label };
  }
  for (const button of document.querySelectorAll("#play-presets [data-preset]")) {
    button.addEventListener("click", () => {
      Object.assign(arithmetic.settings, PRESETS[button.dataset.preset]);
      arithmetic.product = 0;
      change();
    });
  }
  find("play-back").addEventListener("click", () => move(-1));
  find("play-forward").addEventListener("click", () => move(1));
  find("play-run").addEventListener("click", run);
  find("play-product").addEventListener("input", (event) => {
    arithmetic.product = Number(event.target.value);
    step();
  });
  find("play-grids").addEventListener("keydown", (event) => {
    if (!layer || event.ctrlKey || event.metaKey || event.altKey) return;
    const each = layer.seen * arithmetic.settings.kernel ** 2;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -each, ArrowDown: each };
    if (!(event.key in moves)) return;
    event.preventDefault();
    move(moves[event.key]);
  });

  oneByOne.redraw.push(() => {
    if (timer === null) find("play-run").textContent = text("run");
    change();
  });
}

oneByOne.start();
