// The networks' arithmetic in plain JavaScript. Maps are flat arrays in the order (C, H, W), as in
// torch; sums are made in double precision and stored in single precision.
//
// ONNX Runtime Web would be 14 MB (3.7 MB compressed) before the first picture. The small networks
// need about four million multiplications, which take milliseconds; SqueezeNet needs 349 million
// and more, and runs in a worker (photographs.js).
"use strict";

const oneByOne = (globalThis.oneByOne ??= {});

{
  // Side of the output of a convolution or pooling.
  oneByOne.outputSize = (size, kernel, stride, padding, dilation = 1) =>
    Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;

  // The same where a pooling rounds up (`ceil_mode`): a last window that begins in the map counts.
  const roundedUp = (size, { kernel_size: kernel, stride, padding }) => {
    const side = Math.ceil((size + 2 * padding - kernel) / stride) + 1;
    return (side - 1) * stride >= size + padding ? side - 1 : side;
  };

  // Rows of `weight` from `from` to `to` times `count` rows of `patches`, all of `length` numbers.
  // The products go into columns of `output`, which has rows of `size` numbers, from `start` on.
  // Four rows times two at once: a number that was read takes part in several products.
  const multiply = (patches, count, length, weights, [from, to], output, size, start) => {
    const { weight, bias } = weights;
    const first = (row) => (bias ? bias[row] : 0);
    let row = from;
    for (; row + 4 <= to; row += 4) {
      const [w0, w1, w2, w3] = [0, 1, 2, 3].map((n) => (row + n) * length);
      for (let patch = 0; patch < count; patch += 2) {
        const left = patch * length;
        const right = patch + 1 < count ? left + length : left;
        let a0 = first(row);
        let a1 = first(row + 1);
        let a2 = first(row + 2);
        let a3 = first(row + 3);
        let b0 = a0;
        let b1 = a1;
        let b2 = a2;
        let b3 = a3;
        for (let n = 0; n < length; n++) {
          const a = patches[left + n];
          const b = patches[right + n];
          const c0 = weight[w0 + n];
          const c1 = weight[w1 + n];
          const c2 = weight[w2 + n];
          const c3 = weight[w3 + n];
          a0 += a * c0;
          a1 += a * c1;
          a2 += a * c2;
          a3 += a * c3;
          b0 += b * c0;
          b1 += b * c1;
          b2 += b * c2;
          b3 += b * c3;
        }
        const at = row * size + start + patch;
        const next = right > left ? at + 1 : at;
        output[at] = a0;
        output[at + size] = a1;
        output[at + 2 * size] = a2;
        output[at + 3 * size] = a3;
        output[next] = b0;
        output[next + size] = b1;
        output[next + 2 * size] = b2;
        output[next + 3 * size] = b3;
      }
    }
    for (; row < to; row++) {
      for (let patch = 0; patch < count; patch++) {
        let sum = first(row);
        for (let n = 0; n < length; n++) {
          sum += patches[patch * length + n] * weight[row * length + n];
        }
        output[row * size + start + patch] = sum;
      }
    }
  };
  const PATCHES = 128; // so many at a time stay in the cache of a processor

  // An operation takes a step, its weights and its inputs, and returns { shape, values }.
  oneByOne.operations = {
    // weight (out, in / groups, k, k); input (in, H, W). Every patch that the kernel covers becomes
    // a row of numbers, and the convolution a product of two matrices.
    conv(step, weights, input) {
      const [inputs, height, width] = input.shape;
      const { kernel_size: k, stride, padding, groups, dilation = 1 } = step;
      const rows = oneByOne.outputSize(height, k, stride, padding, dilation);
      const columns = oneByOne.outputSize(width, k, stride, padding, dilation);
      const [size, seen] = [rows * columns, inputs / groups];
      const length = seen * k * k;
      const channels = weights.weight.length / length;
      const made = channels / groups;
      const { values } = input;
      const output = new Float32Array(channels * size);
      const patches = new Float32Array(Math.min(size, PATCHES) * length);
      for (let group = 0; group < groups; group++) {
        for (let start = 0; start < size; start += PATCHES) {
          const count = Math.min(PATCHES, size - start);
          let at = 0;
          for (let patch = start; patch < start + count; patch++) {
            const top = Math.floor(patch / columns) * stride - padding;
            const left = (patch % columns) * stride - padding;
            for (let c = group * seen; c < (group + 1) * seen; c++) {
              for (let i = 0; i < k; i++) {
                const y = top + i * dilation;
                const row = (c * height + y) * width;
                for (let j = 0; j < k; j++) {
                  const x = left + j * dilation;
                  const inside = y >= 0 && y < height && x >= 0 && x < width;
                  patches[at++] = inside ? values[row + x] : 0;
                }
              }
            }
          }
          const those = [group * made, (group + 1) * made];
          multiply(patches, count, length, weights, those, output, size, start);
        }
      }
      return { shape: [channels, rows, columns], values: output };
    },

    // Batch norm in evaluation mode: a factor and a summand for each channel.
    norm(step, { weight, bias, running_mean: mean, running_var: variance }, { shape, values }) {
      const size = values.length / shape[0];
      const normed = values.map((value, index) => {
        const c = Math.floor(index / size);
        return ((value - mean[c]) / Math.sqrt(variance[c] + step.eps)) * weight[c] + bias[c];
      });
      return { shape, values: normed };
    },

    relu(step, weights, { shape, values }) {
      const output = new Float32Array(values.length);
      for (let i = 0; i < values.length; i++) output[i] = Math.max(0, values[i]);
      return { shape, values: output };
    },

    // What lies outside the maps never wins.
    max_pool(step, weights, { shape: [channels, height, width], values }) {
      const side = (size) =>
        step.ceil_mode
          ? roundedUp(size, step)
          : oneByOne.outputSize(size, step.kernel_size, step.stride, step.padding);
      const [rows, columns] = [side(height), side(width)];
      const output = new Float32Array(channels * rows * columns);
      let at = 0;
      for (let c = 0; c < channels; c++) {
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            const top = row * step.stride - step.padding;
            const left = column * step.stride - step.padding;
            const bottom = Math.min(height, top + step.kernel_size);
            const right = Math.min(width, left + step.kernel_size);
            let best = -Infinity;
            for (let y = Math.max(0, top); y < bottom; y++) {
              for (let x = Math.max(0, left); x < right; x++) {
                best = Math.max(best, values[(c * height + y) * width + x]);
              }
            }
            output[at++] = best;
          }
        }
      }
      return { shape: [channels, rows, columns], values: output };
    },

    // Global average pooling: one number for each channel.
    average(step, weights, { shape: [channels], values }) {
      const size = values.length / channels;
      const means = Float32Array.from({ length: channels }, (_, c) => {
        let sum = 0;
        for (let i = c * size; i < (c + 1) * size; i++) sum += values[i];
        return sum / size;
      });
      return { shape: [channels, 1, 1], values: means };
    },

    flatten: (step, weights, { values }) => ({ shape: [values.length], values: values.slice() }),

    linear(step, { weight, bias }, { values }) {
      const length = values.length;
      const output = Float32Array.from(bias, (start, row) => {
        let sum = start;
        for (let i = 0; i < length; i++) sum += weight[row * length + i] * values[i];
        return sum;
      });
      return { shape: [bias.length], values: output };
    },

    add: (step, weights, { shape, values }, other) => ({
      shape,
      values: values.map((value, i) => value + other.values[i]),
    }),

    // Maps of the same size, one after another.
    concatenate(step, weights, ...inputs) {
      const [, height, width] = inputs[0].shape;
      const channels = inputs.reduce((sum, { shape }) => sum + shape[0], 0);
      const output = new Float32Array(channels * height * width);
      let start = 0;
      for (const { values } of inputs) {
        output.set(values, start);
        start += values.length;
      }
      return { shape: [channels, height, width], values: output };
    },
  };

  // Half precision to single precision.
  oneByOne.halves = (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const values = new Float32Array(bytes.byteLength / 2);
    for (let i = 0; i < values.length; i++) {
      const bits = view.getUint16(2 * i, true);
      const exponent = (bits >> 10) & 31;
      const fraction = bits & 1023;
      const sign = bits >> 15 ? -1 : 1;
      if (exponent === 0) values[i] = sign * fraction * 2 ** -24;
      else if (exponent === 31) values[i] = fraction ? NaN : sign * Infinity;
      else values[i] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
    }
    return values;
  };

  oneByOne.bytes = (base64) => {
    const letters = atob(base64);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    return bytes;
  };

  // `stored` is a network as first_page.py writes it, with its weights in base64: in half precision
  // if their type is not named. Adds `weights` to every step: its own tensors by their short names.
  oneByOne.unpack = (stored) => {
    const bytes = oneByOne.bytes(stored.weights);
    const owned = {};
    let start = 0;
    for (const [name, shape, type] of stored.tensors) {
      const dot = name.lastIndexOf(".");
      const length = shape.reduce((product, side) => product * side, 1);
      const end = start + length * (type === "float32" ? 4 : 2);
      const part = bytes.slice(start, end);
      const values = type === "float32" ? new Float32Array(part.buffer) : oneByOne.halves(part);
      (owned[name.slice(0, dot)] ??= {})[name.slice(dot + 1)] = values;
      start = end;
    }
    const steps = stored.steps.map((step) => ({ ...step, weights: owned[step.name] ?? {} }));
    return { ...stored, steps, weights: undefined };
  };

  // Bytes of a grey image, a square, as the network wants them: { shape, values }.
  oneByOne.normalise = (network, pixels) => {
    const { mean, std } = network;
    const side = Math.sqrt(pixels.length);
    const values = Float32Array.from(pixels, (pixel) => (pixel / 255 - mean) / std);
    return { shape: [1, side, side], values };
  };

  // For each of `to` places the numbers of `from` that make it, and their shares: bilinear,
  // of more numbers where the picture becomes smaller, as torch's `interpolate` with `antialias=True`.
  const shares = (from, to) => {
    const scale = from / to;
    const reach = Math.max(1, scale);
    return Array.from({ length: to }, (_, place) => {
      const centre = scale * (place + 0.5);
      const first = Math.max(0, Math.floor(centre - reach + 0.5));
      const count = Math.min(from, Math.floor(centre + reach + 0.5)) - first;
      const parts = Array.from({ length: count }, (_, n) =>
        Math.max(0, 1 - Math.abs((first + n - centre + 0.5) / reach)),
      );
      const sum = parts.reduce((total, part) => total + part, 0);
      return { first, parts: parts.map((part) => part / sum) };
    });
  };

  // A photograph, { width, height, data } with four bytes a pixel (red, green, blue, alpha), as a
  // network of ImageNet wants it: its shorter side has `size` pixels.
  oneByOne.prepare = ({ size, mean, std, bgr }, { width, height, data }) => {
    const half = (value) => {
      const low = Math.floor(value); // a half goes to the even number, as in Python
      return value - low === 0.5 ? low + (low % 2) : Math.round(value);
    };
    const scale = size / Math.min(width, height);
    const [columns, rows] = [width, height].map((side) => Math.max(size, half(side * scale)));
    const [across, down] = [shares(width, columns), shares(height, rows)];
    const values = new Float32Array(3 * rows * columns);
    const narrow = new Float32Array(height * columns);
    for (let channel = 0; channel < 3; channel++) {
      const colour = bgr ? 2 - channel : channel;
      for (let y = 0; y < height; y++) {
        for (let column = 0; column < columns; column++) {
          const { first, parts } = across[column];
          let at = 4 * (y * width + first) + colour;
          let sum = 0;
          for (let n = 0; n < parts.length; n++, at += 4) sum += parts[n] * data[at];
          narrow[y * columns + column] = sum;
        }
      }
      for (let row = 0; row < rows; row++) {
        const { first, parts } = down[row];
        for (let column = 0; column < columns; column++) {
          let at = first * columns + column;
          let sum = 0;
          for (let n = 0; n < parts.length; n++, at += columns) sum += parts[n] * narrow[at];
          values[(channel * rows + row) * columns + column] = (sum - mean[channel]) / std[channel];
        }
      }
    }
    return { shape: [3, rows, columns], values };
  };

  // The outputs of all steps; `image` and they are { shape, values }.
  oneByOne.run = (network, image) => {
    const outputs = [];
    for (const step of network.steps) {
      const inputs = step.inputs.map((number) => (number < 0 ? image : outputs[number]));
      outputs.push(oneByOne.operations[step.op](step, step.weights, ...inputs));
    }
    return outputs;
  };

  oneByOne.softmax = (logits) => {
    const most = Math.max(...logits);
    const powers = Array.from(logits, (logit) => Math.exp(logit - most));
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  };

  // The class activation map (H, W) of a class, or null where the network flattens its maps. Its
  // mean plus the bias of the class is the logit. Zhou and others, arXiv 1512.04150.
  oneByOne.activationMap = (network, outputs, label) => {
    const pooling = network.steps.findIndex((step) => step.op === "average");
    if (pooling < 0) return null;
    const maps = outputs[network.steps[pooling].inputs[0]];
    const [channels, height, width] = maps.shape;
    const size = height * width;
    const last = network.steps.at(-1);
    if (last.op !== "linear") {
      // The maps belong to the classes: no weights are between them and the logits.
      const values = maps.values.slice(label * size, (label + 1) * size);
      return { shape: [height, width], values };
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
}
