// The first part of the page: an image, a trained network, its layers, scores and activation map.
"use strict";

{
  const { text, number } = oneByOne;
  const find = (id) => document.getElementById(id);
  const SIDE = 28;
  const PRETRAINED = "squeezenet"; // sees photographs
  const folder = document.currentScript.src.replace(/[^/]*$/, "");

  const state = {
    network: null, // an unpacked network
    pixels: new Uint8Array(SIDE * SIDE), // bytes of the small image
    label: null, // of a test image
    image: null, // what the network gets: { shape, values }
    outputs: [], // of every step; none while the network still computes
    layer: 0,
    chosen: null, // the class whose activation map is shown; null is the best
    at: null, // the place in the maps that is read: { channel, row, column }
  };
  oneByOne.state = state;

  // --- colours -----------------------------------------------------------------------------------

  // Viridis: darker is less, also in grey.
  const VIRIDIS = [
    ...[[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141]],
    ...[[39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]],
  ];
  const colour = (share) => {
    const place = Math.max(0, Math.min(1, share)) * (VIRIDIS.length - 1);
    const first = Math.min(VIRIDIS.length - 2, Math.floor(place));
    return VIRIDIS[first].map((c, i) => c + (place - first) * (VIRIDIS[first + 1][i] - c));
  };
  const PALETTE = Array.from({ length: 256 }, (_, i) => {
    const bytes = Uint8Array.of(...colour(i / 255).map(Math.round), 255);
    return new Uint32Array(bytes.buffer)[0]; // one pixel, in the order of this machine
  });
  find("play").style.setProperty(
    "--play-palette",
    `linear-gradient(to right, ${VIRIDIS.map((c) => `rgb(${c})`).join()})`,
  );

  // A canvas of one pixel for each value; `paint` gives red, green, blue and alpha.
  const picture = (values, width, height, paint) => {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) image.data.set(paint(values[i]), 4 * i);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  };
  const grey = (pixels) => picture(pixels, SIDE, SIDE, (value) => [value, value, value, 255]);
  // Many pictures are drawn on one canvas, one after the other.
  const sketch = document.createElement("canvas");
  const range = (values) => {
    let [least, most] = [Infinity, -Infinity];
    for (const value of values) {
      if (value < least) least = value;
      if (value > most) most = value;
    }
    return [least, most];
  };
  // One map of an output, coloured between the least and the most of the whole output.
  const mapPicture = (output, channel, [least, most]) => {
    const [, height = 1, width = 1] = output.shape;
    const size = height * width;
    const factor = most > least ? 255 / (most - least) : 0;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0, at = channel * size; i < size; i++, at++) {
      pixels[i] = PALETTE[Math.round((output.values[at] - least) * factor)];
    }
    sketch.width = width;
    sketch.height = height;
    sketch.getContext("2d").putImageData(image, 0, 0);
    return sketch;
  };

  // --- the network -------------------------------------------------------------------------------

  const unpacked = {};
  let asked = "";
  oneByOne.choose = async (name) => {
    asked = name;
    if (!unpacked[name]) find("play-about").textContent = text("loading");
    try {
      await oneByOne.load(oneByOne.networks, name, `${folder}networks/${name}.js`);
    } catch {
      if (asked === name) find("play-about").textContent = text("not_loaded");
      return;
    }
    if (asked !== name) return; // another one was chosen in the meantime
    state.network = unpacked[name] ??= oneByOne.unpack(oneByOne.networks[name]);
    state.layer = 0;
    state.at = null;
    state.chosen = null;
    state.outputs = [];
    find("play").classList.toggle("play-with-photographs", seesPhotographs());
    showPanels();
    makeLayers();
    await compute();
  };
  // The network for photographs has classes of its own.
  const seesPhotographs = () => Boolean(state.network?.classes);
  const classNames = () => state.network.classes?.[oneByOne.language] ?? text("classes");

  const compute = async () => {
    if (!state.network) return;
    if (seesPhotographs()) {
      state.outputs = [];
      const result = await oneByOne.photo.compute(state.network);
      if (!result || !seesPhotographs()) return; // something else was chosen in the meantime
      [state.image, state.outputs] = [result.image, result.outputs];
    } else {
      state.image = oneByOne.normalise(state.network, state.pixels);
      state.outputs = oneByOne.run(state.network, state.image);
    }
    show();
  };
  oneByOne.compute = compute;
  let waiting = false;
  const computeSoon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      compute();
    });
  };

  // Shows an image of 28×28 bytes; `label` is the number of its class, or null if nobody knows it.
  oneByOne.show = (pixels, label = null) => {
    state.pixels = Uint8Array.from(pixels);
    state.label = label;
    drawPad();
    computeSoon();
  };

  // --- image, scores and activation map ----------------------------------------------------------

  const context = (canvas, width, height) => {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(canvas.width / width, canvas.height / height);
    pen.imageSmoothingEnabled = false;
    return pen;
  };

  // The image that the network got, on a canvas: pixels of a small image are shown as squares.
  const DETAIL = 2; // a photograph is drawn with more pixels than the network gets
  const showImageOn = (canvas) => {
    const [, height, width] = state.image.shape;
    const factor = seesPhotographs() ? DETAIL : Math.max(1, canvas.width / width);
    if (seesPhotographs()) [canvas.width, canvas.height] = [DETAIL * width, DETAIL * height];
    else canvas.height = canvas.width;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = seesPhotographs();
    pen.imageSmoothingQuality = "high";
    const source = seesPhotographs() ? oneByOne.photo.picture() : grey(state.pixels);
    pen.drawImage(source, 0, 0, factor * width, factor * height);
    return pen;
  };
  const showImage = () => {
    const canvas = find("play-input");
    if (!seesPhotographs()) canvas.width = SIDE;
    showImageOn(canvas);
    const [, height, width] = state.image.shape;
    const size = { height, width };
    find("play-seen").textContent = text(seesPhotographs() ? "seen_photograph" : "seen", size);
    canvas.setAttribute("aria-label", text(seesPhotographs() ? "input_photograph" : "input_image"));
  };

  const showMap = (logits, label) => {
    const map = oneByOne.activationMap(state.network, state.outputs, label);
    const canvas = find("play-map");
    canvas.hidden = map === null;
    if (map === null) {
      find("play-map-caption").textContent = text("map_none");
      return;
    }
    if (!seesPhotographs()) canvas.width = 8 * SIDE;
    const pen = showImageOn(canvas);
    const [height, width] = map.shape;
    const [least, most] = range(map.values);
    const factor = most > least ? 1 / (most - least) : 0;
    const heat = picture(map.values, width, height, (value) => {
      const share = (value - least) * factor;
      return [255, 140, 0, 200 * share];
    });
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(heat, 0, 0, canvas.width, canvas.height);
    const { weights, op } = state.network.steps.at(-1);
    const mean = map.values.reduce((sum, value) => sum + value, 0) / map.values.length;
    const values = { class: classNames()[label], mean: number(mean, 2) };
    values.score = number(logits[label], 2);
    if (op === "linear") values.bias = number(weights.bias[label], 2);
    canvas.setAttribute("aria-label", text("map_image", values));
    find("play-map-caption").textContent = text(op === "linear" ? "map" : "map_without_bias", values);
  };

  const percent = (share) => `${(100 * share).toFixed(1)}%`;
  const BEST = 5; // so many classes of a photograph are shown
  const rows = [];
  const makeScores = () => {
    text("classes").forEach((_, place) => {
      const row = document.createElement("label");
      const input = document.createElement("input");
      input.type = "radio";
      input.name = "play-class";
      input.value = place;
      input.addEventListener("change", () => {
        state.chosen = rows[place].label;
        show();
      });
      const [name, bar, share, score] = ["name", "bar", "share", "logit"].map((kind) => {
        const part = document.createElement("span");
        part.className = `play-${kind}`;
        return part;
      });
      const filled = document.createElement("span");
      bar.append(filled);
      row.append(input, name, bar, share, score);
      find("play-scores").append(row);
      rows.push({ row, input, name, filled, share, score });
    });
  };

  const showScores = (logits, best) => {
    const shares = oneByOne.softmax(logits);
    const classes = classNames();
    const label = state.chosen ?? best;
    let listed = [...classes.keys()];
    if (seesPhotographs()) listed = listed.sort((a, b) => logits[b] - logits[a]).slice(0, BEST);
    rows.forEach((each, place) => {
      const { row, input, name, filled, share, score } = each;
      const k = (each.label = listed[place]);
      row.hidden = k === undefined;
      if (row.hidden) return;
      name.textContent = classes[k];
      filled.style.width = `${100 * shares[k]}%`;
      share.textContent = percent(shares[k]);
      score.textContent = number(logits[k], 2);
      input.checked = k === label;
      row.classList.toggle("play-best", k === best);
      const values = { class: classes[k], share: percent(shares[k]), score: number(logits[k], 2) };
      input.setAttribute("aria-label", text("score", values));
    });
    const values = { class: classes[best], share: percent(shares[best]) };
    const truth = seesPhotographs() ? null : state.label;
    if (truth !== null) values.label = classes[truth];
    const key = truth === null ? "" : truth === best ? "_right" : "_wrong";
    find("play-verdict").textContent = text(`verdict${key}`, values);
    return label;
  };

  // --- layers ------------------------------------------------------------------------------------

  const isDepthwise = (step) => step.op === "conv" && step.groups > 1;
  const settings = (step) => ({ ...step, k: step.kernel_size });
  const kind = (step) => (isDepthwise(step) ? "depthwise" : step.op);
  const shortName = (step) => step.name.replace(/^(features|classifier)\./, "");

  let tiles = [];
  const makeLayers = () => {
    const list = find("play-layers");
    list.replaceChildren();
    let block = null;
    tiles = state.network.steps.map((step, n) => {
      const parts = shortName(step).split(".");
      const last = parts.pop();
      const around = parts.filter((part) => part !== "branch").join(".");
      const tile = document.createElement("div");
      tile.setAttribute("role", "option");
      tile.className = `play-tile play-${step.op}`;
      if (step.op === "conv" && step.kernel_size === 1) tile.classList.add("play-pointwise");
      const names = ["block", "name", "kind"].map((what) => {
        const line = document.createElement("span");
        line.className = `play-tile-${what}`;
        return line;
      });
      names[0].textContent = around === block ? "" : around;
      if (around !== block && n > 0) tile.classList.add("play-begins");
      block = around;
      names[1].textContent = last;
      const canvas = document.createElement("canvas");
      tile.append(names[0], canvas, names[1], names[2]);
      list.append(tile);
      return { tile, canvas, what: names[2] };
    });
  };

  const TILE = 56;
  const showTiles = () => {
    state.network.steps.forEach((step, n) => {
      const output = state.outputs[n];
      const { tile, canvas, what } = tiles[n];
      what.textContent = text(`short_${kind(step)}`, settings(step));
      tile.setAttribute("aria-label", layerAbout(n));
      const pen = context(canvas, TILE, TILE);
      const limits = range(output.values);
      const [channels, height = 1] = output.shape;
      const side = Math.min(height > 1 ? 2 : 14, Math.ceil(Math.sqrt(channels)));
      const room = TILE / side;
      for (let c = 0; c < Math.min(channels, side * side); c++) {
        const [x, y] = [(c % side) * room, Math.floor(c / side) * room];
        pen.drawImage(mapPicture(output, c, limits), x, y, room - 1, room - 1);
      }
    });
  };

  const layerAbout = (n) => {
    const step = state.network.steps[n];
    return text("layer_about", {
      name: shortName(step),
      what: text(`op_${kind(step)}`, settings(step)),
      shape: state.outputs[n].shape.join(" × "),
    });
  };

  // Where the maps of the chosen layer are in the canvas.
  const layout = () => {
    const [channels, height = 1, width = 1] = state.outputs[state.layer].shape;
    const room = find("play-maps").parentElement.clientWidth;
    const wanted = height === 1 ? 18 : channels > 32 ? 52 : room < 500 ? 72 : 88;
    const scale = width > wanted ? wanted / width : Math.floor(wanted / width);
    const cell = scale * width + 4;
    const columns = Math.max(1, Math.min(channels, Math.floor((room - 2) / cell)));
    return { channels, height, width, scale, cell, columns, rows: Math.ceil(channels / columns) };
  };

  // The maps of an output are drawn once; later only the place that is read changes.
  let cache = {};
  const mapsOf = (output, place, [width, height], scale) => {
    const key = [width, height, scale, window.devicePixelRatio].join();
    if (cache.output === output && cache.key === key) return cache;
    const limits = range(output.values);
    const canvas = document.createElement("canvas");
    const pen = context(canvas, width, height);
    pen.imageSmoothingEnabled = scale < 1;
    const [channels, rows = 1, columns = 1] = output.shape;
    for (let c = 0; c < channels; c++) {
      pen.drawImage(mapPicture(output, c, limits), ...place(c), scale * columns, scale * rows);
    }
    return (cache = { output, key, limits, canvas });
  };

  const showMaps = () => {
    const output = state.outputs[state.layer];
    const { channels, scale, cell, columns, rows, height, width } = layout();
    const canvas = find("play-maps");
    const sides = [columns * cell, rows * (scale * height + 4)];
    canvas.style.width = `${sides[0]}px`;
    canvas.style.height = `${sides[1]}px`;
    const place = (c) => [(c % columns) * cell + 2, Math.floor(c / columns) * (scale * height + 4) + 2];
    const { limits, canvas: maps } = mapsOf(output, place, sides, scale);
    const pen = context(canvas, ...sides);
    pen.drawImage(maps, 0, 0, ...sides);
    if (state.at) {
      const { channel, row, column } = state.at;
      const [x, y] = place(channel);
      pen.strokeStyle = oneByOne.colours()("accent");
      pen.lineWidth = 2;
      pen.strokeRect(x - 1, y - 1, scale * width + 2, scale * height + 2);
      pen.strokeStyle = "#fff";
      pen.strokeRect(x + column * scale - 1, y + row * scale - 1, scale + 2, scale + 2);
      pen.strokeStyle = "#000";
      pen.lineWidth = 1;
      pen.strokeRect(x + column * scale - 0.5, y + row * scale - 0.5, scale + 1, scale + 1);
    }
    find("play-least").textContent = number(limits[0]);
    find("play-most").textContent = number(limits[1]);
    find("play-layer-about").textContent = layerAbout(state.layer);
    showValue();
  };

  // How the number at the chosen place was computed, as a sentence.
  const explain = (step, { channel, row, column }) => {
    const [input, other] = step.inputs.map((n) => (n < 0 ? state.image : state.outputs[n]));
    const [channels, height = 1, width = 1] = state.outputs[state.layer].shape;
    const index = (channel * height + row) * width + column;
    const value = (array, at = index) => number(array.values[at]);
    const { weight, bias, running_mean: mean, running_var: variance } = step.weights;
    if (step.op === "conv" || step.op === "linear") {
      const { kernel_size: k = 1, stride = 1, padding = 0, groups = 1 } = step;
      const seen = step.op === "conv" ? input.shape[0] / groups : input.values.length;
      const first = Math.floor(channel / (channels / groups)) * seen;
      const [, high = 1, wide = 1] = step.op === "conv" ? input.shape : [seen];
      let largest = { part: 0, channel: first };
      for (let c = 0; c < seen; c++) {
        let part = 0;
        for (let i = 0; i < k; i++) {
          for (let j = 0; j < k; j++) {
            const [y, x] = [row * stride - padding + i, column * stride - padding + j];
            if (y < 0 || y >= high || x < 0 || x >= wide) continue;
            const pixel = input.values[((first + c) * high + y) * wide + x];
            part += pixel * weight[((channel * seen + c) * k + i) * k + j];
          }
        }
        if (Math.abs(part) > Math.abs(largest.part)) largest = { part, channel: first + c };
      }
      const key = step.op === "linear" ? "sum_linear" : bias ? "sum_conv" : "sum_conv_plain";
      return text(key, {
        ...{ products: seen * k * k, channels: seen, k, channel: largest.channel },
        part: number(largest.part),
        bias: bias && number(bias[channel]),
      });
    }
    if (step.op === "norm") {
      return text("sum_norm", {
        ...{ value: value(input), mean: number(mean[channel]) },
        ...{ variance: number(variance[channel], 4), eps: step.eps.toFixed(5) },
        ...{ weight: number(weight[channel]), bias: number(bias[channel]) },
      });
    }
    if (step.op === "max_pool") {
      const reach = (start, side) =>
        Math.min(side, start + step.kernel_size) - Math.max(0, start);
      const [, high, wide] = input.shape;
      const tall = reach(row * step.stride - step.padding, high);
      return text("sum_max_pool", {
        count: tall * reach(column * step.stride - step.padding, wide),
      });
    }
    if (step.op === "average") {
      return text("sum_average", { count: input.values.length / channels });
    }
    if (step.op === "add") {
      return text("sum_add", { first: value(input), second: value(other) });
    }
    if (step.op === "relu") return text("sum_relu", { value: value(input) });
    return text(`sum_${step.op}`);
  };

  const showValue = () => {
    const step = state.network.steps[state.layer];
    const { shape, values } = state.outputs[state.layer];
    if (!state.at) {
      find("play-value").textContent = text("value_help");
      find("play-sum").textContent = "";
      return;
    }
    const { channel, row, column } = state.at;
    const [, height = 1, width = 1] = shape;
    const value = values[(channel * height + row) * width + column];
    const place = shape.length > 1 ? [channel, row, column].join(", ") : channel;
    find("play-value").textContent = text("value", { place, value: number(value) });
    find("play-sum").textContent = explain(step, state.at);
  };

  const markLayer = oneByOne.listbox(find("play-layers"), (n) => {
    if (!state.outputs.length) return;
    state.layer = n;
    state.at = null;
    markLayer(n);
    showMaps();
  });

  const placeUnder = (event) => {
    const { channels, height, width, scale, cell, columns } = layout();
    const across = Math.floor(event.offsetX / cell);
    const down = Math.floor(event.offsetY / (scale * height + 4));
    const channel = down * columns + across;
    if (across >= columns || channel >= channels || channel < 0) return null;
    const within = (offset, side) => Math.max(0, Math.min(side - 1, Math.floor(offset / scale)));
    return {
      channel,
      row: within(event.offsetY - down * (scale * height + 4) - 2, height),
      column: within(event.offsetX - across * cell - 2, width),
    };
  };
  for (const kind of ["pointermove", "pointerdown"]) {
    find("play-maps").addEventListener(kind, (event) => {
      if (!state.outputs.length) return;
      const place = placeUnder(event);
      if (!place || JSON.stringify(place) === JSON.stringify(state.at)) return;
      state.at = place;
      showMaps();
    });
  }
  find("play-maps").addEventListener("keydown", (event) => {
    if (!state.outputs.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const { channels, height, width, columns } = layout();
    const { channel, row, column } = state.at ?? { channel: 0, row: 0, column: 0 };
    const single = height * width === 1; // then arrow keys go from map to map
    const moves = {
      ArrowLeft: single ? [-1, 0, 0] : [0, 0, -1],
      ArrowRight: single ? [1, 0, 0] : [0, 0, 1],
      ArrowUp: single ? [-columns, 0, 0] : [0, -1, 0],
      ArrowDown: single ? [columns, 0, 0] : [0, 1, 0],
      PageUp: [-1, 0, 0],
      PageDown: [1, 0, 0],
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const [c, r, k] = state.at ? moves[event.key] : [0, 0, 0];
    const inside = (value, side) => Math.max(0, Math.min(side - 1, value));
    state.at = {
      channel: channel + c >= 0 && channel + c < channels ? channel + c : channel,
      row: inside(row + r, height),
      column: inside(column + k, width),
    };
    showMaps();
  });

  // --- everything --------------------------------------------------------------------------------

  const show = () => {
    if (!state.network || !state.outputs.length) return;
    const logits = state.outputs.at(-1).values;
    const best = logits.indexOf(Math.max(...logits));
    const { parameters, test_accuracy } = state.network;
    find("play-about").textContent = text(seesPhotographs() ? "about_photographs" : "about", {
      parameters: parameters.toLocaleString("en"),
      accuracy: percent(test_accuracy),
    });
    showImage();
    showMap(logits, showScores(logits, best));
    showTiles();
    markLayer(state.layer);
    showMaps();
  };

  // --- where the image comes from ----------------------------------------------------------------

  const gallery = oneByOne.bytes(oneByOne.images.pixels);
  const testImage = (n) => gallery.subarray(n * SIDE * SIDE, (n + 1) * SIDE * SIDE);
  const chooseImage = (n) => {
    markImage(n);
    state.chosen = null;
    oneByOne.show(testImage(n), oneByOne.images.label[n]);
  };
  const markImage = oneByOne.listbox(find("play-gallery"), chooseImage);
  const makeGallery = () => {
    oneByOne.images.label.forEach((label, n) => {
      const canvas = grey(testImage(n));
      canvas.setAttribute("role", "option");
      find("play-gallery").append(canvas);
    });
  };
  const nameGallery = () => {
    [...find("play-gallery").children].forEach((canvas, n) => {
      canvas.setAttribute("aria-label", text("classes")[oneByOne.images.label[n]]);
    });
  };

  const sources = document.querySelectorAll('input[name="play-source"]');
  for (const source of sources) {
    source.addEventListener("change", () => {
      showPanels();
      drawPad();
    });
  }
  const showPanels = () => {
    const small = !seesPhotographs();
    const chosen = [...sources].find((source) => source.checked).value;
    find("play-sources").hidden = !small;
    find("play-photographs").hidden = small;
    for (const panel of document.querySelectorAll("#play [data-source]")) {
      panel.hidden = !(small && panel.dataset.source === chosen);
    }
  };

  // The pad shows the image; what is drawn changes it.
  const pad = find("play-pad");
  const brush = { row: 14, column: 14, value: 255, last: null, keyboard: false };
  const drawPad = () => {
    const side = pad.clientWidth || 252;
    const pen = context(pad, side, side);
    pen.drawImage(grey(state.pixels), 0, 0, side, side);
    if (document.activeElement !== pad || !brush.keyboard) return;
    pen.strokeStyle = oneByOne.colours()("accent");
    pen.lineWidth = 2;
    const scale = side / SIDE;
    pen.strokeRect(brush.column * scale, brush.row * scale, scale, scale);
  };
  const dab = (x, y) => {
    for (let row = Math.floor(y - 2); row <= y + 2; row++) {
      for (let column = Math.floor(x - 2); column <= x + 2; column++) {
        if (row < 0 || row >= SIDE || column < 0 || column >= SIDE) continue;
        const strength = Math.min(1, 1.7 - Math.hypot(column + 0.5 - x, row + 0.5 - y));
        if (strength <= 0) continue;
        const at = row * SIDE + column;
        const old = state.pixels[at];
        const ink = Math.round(255 * strength);
        state.pixels[at] = brush.value ? Math.max(old, ink) : Math.min(old, 255 - ink);
      }
    }
  };
  const drawn = () => {
    state.label = null;
    state.chosen = null;
    drawPad();
    computeSoon();
  };
  const stroke = (event) => {
    const scale = SIDE / pad.clientWidth;
    const [x, y] = [event.offsetX * scale, event.offsetY * scale];
    const [x0, y0] = brush.last ?? [x, y];
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(x - x0, y - y0)));
    for (let i = 1; i <= steps; i++) dab(x0 + ((x - x0) * i) / steps, y0 + ((y - y0) * i) / steps);
    brush.last = [x, y];
    drawn();
  };
  pad.addEventListener("pointerdown", (event) => {
    brush.keyboard = false;
    pad.setPointerCapture(event.pointerId);
    brush.last = null;
    stroke(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.buttons) stroke(event);
  });
  pad.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    brush.keyboard = true;
    if (event.key === " ") {
      dab(brush.column + 0.5, brush.row + 0.5);
      drawn();
    } else if (event.key in moves) {
      const inside = (value) => Math.max(0, Math.min(SIDE - 1, value));
      brush.row = inside(brush.row + moves[event.key][0]);
      brush.column = inside(brush.column + moves[event.key][1]);
      drawPad();
    } else {
      return;
    }
    event.preventDefault();
  });
  pad.addEventListener("blur", () => drawPad());
  const take = (value) => {
    brush.value = value;
    find("play-pen").setAttribute("aria-pressed", String(value > 0));
    find("play-eraser").setAttribute("aria-pressed", String(value === 0));
  };
  find("play-pen").addEventListener("click", () => take(255));
  find("play-eraser").addEventListener("click", () => take(0));
  find("play-clear").addEventListener("click", () => {
    state.pixels.fill(0);
    take(255);
    drawn();
  });

  // --- a photo -----------------------------------------------------------------------------------

  // Grey bytes (28×28) of a photo: its middle square, every pixel the mean of what it covers.
  const shrink = (image) => {
    const side = Math.min(image.width, image.height);
    const fine = SIDE * Math.max(1, Math.min(16, Math.ceil(side / SIDE)));
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = fine;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "#fff"; // under what is transparent
    pen.fillRect(0, 0, fine, fine);
    pen.imageSmoothingQuality = "high";
    const [left, top] = [(image.width - side) / 2, (image.height - side) / 2];
    pen.drawImage(image, left, top, side, side, 0, 0, fine, fine);
    const { data } = pen.getImageData(0, 0, fine, fine);
    const times = fine / SIDE;
    const sums = new Float64Array(SIDE * SIDE);
    for (let y = 0; y < fine; y++) {
      for (let x = 0; x < fine; x++) {
        const at = 4 * (y * fine + x);
        const light = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
        sums[Math.floor(y / times) * SIDE + Math.floor(x / times)] += light;
      }
    }
    return sums.map((sum) => sum / times ** 2);
  };
  // The ground becomes 0 and the lightest pixel 255, as in Fashion-MNIST.
  const lighten = (values, swap) => {
    const turned = swap ? values.map((value) => 255 - value) : values;
    const edge = [];
    turned.forEach((value, i) => {
      const [row, column] = [Math.floor(i / SIDE), i % SIDE];
      if (Math.min(row, column) === 0 || Math.max(row, column) === SIDE - 1) edge.push(value);
    });
    const ground = edge.sort((a, b) => a - b)[edge.length >> 1];
    const factor = 255 / Math.max(1, Math.max(...turned) - ground);
    return Uint8Array.from(turned, (v) => Math.round(Math.max(0, Math.min(255, (v - ground) * factor))));
  };
  const edgeIsLight = (values) => {
    const edge = values.filter((_, i) => i % SIDE === 0 || i % SIDE === SIDE - 1 || i < SIDE);
    return edge.reduce((sum, value) => sum + value, 0) / edge.length > 127;
  };
  let photo = null;
  const showPhoto = () => {
    state.chosen = null;
    oneByOne.show(lighten(photo, find("play-invert").checked));
  };
  find("play-file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    try {
      const image = await createImageBitmap(file);
      photo = shrink(image);
      image.close();
    } catch {
      find("play-file-message").textContent = text("photo_wrong", { file: file.name });
      return;
    }
    const light = edgeIsLight(photo);
    find("play-invert").checked = light;
    find("play-file-message").textContent = text(light ? "photo_dark" : "photo_kept");
    showPhoto();
  });
  find("play-invert").addEventListener("change", () => {
    if (photo) showPhoto();
  });

  // --- start -------------------------------------------------------------------------------------

  for (const [name, title] of Object.entries(oneByOne.titles)) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const words = document.createElement("span");
    input.type = "radio";
    input.name = "play-network";
    input.value = name;
    input.checked = name in oneByOne.networks;
    input.addEventListener("change", () => oneByOne.choose(name));
    words.textContent = name === PRETRAINED ? text("for_photographs", { title }) : title;
    label.append(input, words);
    find("play-networks").append(label);
  }
  makeScores();
  makeGallery();
  oneByOne.redraw.push(nameGallery, show);
  let width = 0;
  new ResizeObserver(() => {
    const now = find("play-maps").parentElement.clientWidth;
    if (now === width || !state.outputs.length) return;
    width = now;
    showMaps();
    drawPad();
  }).observe(find("play"));
  oneByOne.start = async () => {
    oneByOne.translate();
    chooseImage(0);
    await oneByOne.choose(Object.keys(oneByOne.networks)[0]);
    oneByOne.ready();
  };
}
