// The networks' arithmetic in plain JavaScript. Maps are flat arrays in the order (C, H, W), as in
// torch; sums are made in double precision and stored in single precision.
//
// ONNX Runtime Web would be 14 MB (3.7 MB compressed) before the first picture; the networks here
// need seven operations and about four million multiplications, which take milliseconds.
"use strict";

const oneByOne = (window.oneByOne ??= {});

// Side of the output of a convolution or pooling.
oneByOne.outputSize = (size, kernel, stride, padding, dilation = 1) =>
  Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;

oneByOne.operations = {
  // weight (out, in / groups, k, k); input (in, H, W).
  conv(input, step, { weight, bias }) {
    const [channels, rows, columns] = step.shape;
    const [inputs, height, width] = input.shape;
    const { kernel_size: k, stride, padding, groups, dilation = 1 } = step;
    const seen = inputs / groups;
    const output = new Float32Array(channels * rows * columns);
    let at = 0;
    for (let channel = 0; channel < channels; channel++) {
      const first = Math.floor(channel / (channels / groups)) * seen;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          let sum = bias ? bias[channel] : 0;
          for (let i = 0; i < k; i++) {
            const y = row * stride - padding + i * dilation;
            if (y < 0 || y >= height) continue;
            for (let j = 0; j < k; j++) {
              const x = column * stride - padding + j * dilation;
              if (x < 0 || x >= width) continue;
              let pixel = (first * height + y) * width + x;
              let place = (channel * seen * k + i) * k + j;
              for (let c = 0; c < seen; c++) {
                sum += input.values[pixel] * weight[place];
                pixel += height * width;
                place += k * k;
              }
            }
          }
          output[at++] = sum;
        }
      }
    }
    return output;
  },

  // Batch norm in evaluation mode: a factor and a summand for each channel.
  norm(input, step, { weight, bias, running_mean: mean, running_var: variance }) {
    const size = input.values.length / input.shape[0];
    return input.values.map((value, index) => {
      const c = Math.floor(index / size);
      return ((value - mean[c]) / Math.sqrt(variance[c] + step.eps)) * weight[c] + bias[c];
    });
  },

  relu: (input) => input.values.map((value) => Math.max(0, value)),

  // What lies outside the maps never wins. `ceil_mode` is in the shape of the output.
  max_pool(input, step) {
    const [channels, rows, columns] = step.shape;
    const [, height, width] = input.shape;
    const output = new Float32Array(channels * rows * columns);
    let at = 0;
    for (let c = 0; c < channels; c++) {
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          const top = row * step.stride - step.padding;
          const left = column * step.stride - step.padding;
          let best = -Infinity;
          for (let y = Math.max(0, top); y < Math.min(height, top + step.kernel_size); y++) {
            for (let x = Math.max(0, left); x < Math.min(width, left + step.kernel_size); x++) {
              best = Math.max(best, input.values[(c * height + y) * width + x]);
            }
          }
          output[at++] = best;
        }
      }
    }
    return output;
  },

  // Global average pooling: one number for each channel.
  average(input, step) {
    const size = input.values.length / step.shape[0];
    return Float32Array.from({ length: step.shape[0] }, (_, c) => {
      let sum = 0;
      for (let i = c * size; i < (c + 1) * size; i++) sum += input.values[i];
      return sum / size;
    });
  },

  flatten: (input) => input.values.slice(),

  linear(input, step, { weight, bias }) {
    const length = input.values.length;
    return Float32Array.from(bias, (start, row) => {
      let sum = start;
      for (let i = 0; i < length; i++) sum += weight[row * length + i] * input.values[i];
      return sum;
    });
  },

  add: (input, step, weights, other) => input.values.map((value, i) => value + other.values[i]),
};

// Half precision to single precision.
oneByOne.halves = (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength / 2 }, (_, i) => {
    const bits = view.getUint16(2 * i, true);
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const sign = bits >> 15 ? -1 : 1;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
};

oneByOne.bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

// `stored` is a file of results/play/ with its weights in base64. Adds `weights` to every step:
// its own tensors by their short names.
oneByOne.unpack = (stored) => {
  const values = oneByOne.halves(oneByOne.bytes(stored.weights));
  const owned = {};
  let start = 0;
  for (const [name, shape] of stored.tensors) {
    const dot = name.lastIndexOf(".");
    const length = shape.reduce((product, side) => product * side, 1);
    (owned[name.slice(0, dot)] ??= {})[name.slice(dot + 1)] = values.subarray(start, start + length);
    start += length;
  }
  const steps = stored.steps.map((step) => ({ ...step, weights: owned[step.name] ?? {} }));
  return { ...stored, steps, weights: undefined };
};

// Bytes of a grey image (0 to 255) as the network wants them.
oneByOne.normalise = (network, pixels) => {
  const { mean, std } = network;
  return Float32Array.from(pixels, (pixel) => (pixel / 255 - mean) / std);
};

// The outputs of all steps, as { shape, values }; `pixels` are the bytes of a 28×28 image.
oneByOne.run = (network, pixels) => {
  const side = Math.sqrt(pixels.length);
  const image = { shape: [1, side, side], values: oneByOne.normalise(network, pixels) };
  const outputs = [];
  for (const step of network.steps) {
    const [input, other] = step.inputs.map((number) => (number < 0 ? image : outputs[number]));
    const values = oneByOne.operations[step.op](input, step, step.weights, other);
    outputs.push({ shape: step.shape, values });
  }
  return outputs;
};

oneByOne.softmax = (logits) => {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
};

// The class activation map (H, W) of a class, or null where the network flattens its maps. Its mean
// plus the bias of the class is the logit. Zhou and others, arXiv 1512.04150.
oneByOne.activationMap = (network, outputs, label) => {
  const pooling = network.steps.findIndex((step) => step.op === "average");
  if (pooling < 0) return null;
  const maps = outputs[network.steps[pooling].inputs[0]];
  const [channels, height, width] = maps.shape;
  const size = height * width;
  const last = network.steps.at(-1);
  if (last.op !== "linear") {
    // The maps belong to the classes: no weights are between them and the logits.
    return { shape: [height, width], values: maps.values.slice(label * size, (label + 1) * size) };
  }
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) {
      sum += last.weights.weight[label * channels + c] * maps.values[c * size + i];
    }
    values[i] = sum;
  }
  return { shape: [height, width], values };
};
