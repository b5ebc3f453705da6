// Photographs for SqueezeNet: those of the course and the reader's own. The network computes in a
// worker, so that the page can be used meanwhile.
"use strict";

{
  const { text } = oneByOne;
  const find = (id) => document.getElementById(id);
  const folder = document.currentScript.src.replace(/[^/]*$/, "");
  const names = Object.keys(oneByOne.credits);
  const LARGEST = 1600; // pixels of the longer side, as in utils/topics/photos.py
  const LONGEST = 3; // a photograph is at most so many times as long as it is wide
  oneByOne.photographs = {}; // what a file photographs/NAME.js adds

  let canvas = null; // the photograph that is shown
  let result = null; // what the worker answered for it
  let chosen = 0; // counts choices: a slow one does not replace a newer one
  let asked = 0; // counts questions to the worker
  const say = (words) => (find("play-photograph-message").textContent = words);

  // The picture in a file: upright, on white where it is clear, not too large and not too long.
  const read = async (file) => {
    const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const factor = Math.min(1, LARGEST / Math.max(image.width, image.height));
    const [width, height] = [image.width, image.height].map((side) => Math.round(side * factor));
    const most = LONGEST * Math.min(width, height);
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [Math.min(width, most), Math.min(height, most)];
    const pen = picture.getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    pen.imageSmoothingQuality = "high";
    const left = Math.floor(Math.max(width - most, 0) / 2);
    const top = Math.floor(Math.max(height - most, 0) / 2);
    pen.drawImage(image, -left, -top, width, height);
    image.close();
    return picture;
  };

  const sample = async (n) => {
    await oneByOne.load(oneByOne.photographs, names[n], `${folder}photographs/${names[n]}.js`);
    return new Blob([oneByOne.bytes(oneByOne.photographs[names[n]])], { type: "image/jpeg" });
  };

  // --- the worker --------------------------------------------------------------------------------

  let worker = null;
  const answers = new Map(); // what waits for an answer, by the number of the question
  const start = (network) => {
    const source = new Blob([oneByOne.worker], { type: "text/javascript" });
    worker = new Worker(URL.createObjectURL(source));
    worker.onmessage = ({ data }) => {
      answers.get(data.id).resolve(data);
      answers.delete(data.id);
    };
    worker.onerror = () => {
      for (const { reject } of answers.values()) reject(new Error("worker"));
      answers.clear();
      worker = null;
    };
    worker.postMessage({ network });
  };
  const ask = (network, id) =>
    new Promise((resolve, reject) => {
      if (!worker) start(network);
      answers.set(id, { resolve, reject });
      const { width, height, data } = canvas
        .getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height);
      worker.postMessage({ id, photograph: { width, height, data } }, [data.buffer]);
    });

  oneByOne.photo = {
    picture: () => canvas,
    // Image and outputs for the photograph that is chosen; null if another one was chosen since.
    async compute(network) {
      showSamples();
      if (!canvas) return choose(0);
      const id = ++asked;
      if (!result) {
        say(text("computing"));
        try {
          const answer = await ask(network, id);
          if (id !== asked) return null;
          result = answer;
        } catch {
          say(text("not_computed"));
          return null;
        }
      }
      say(text("seconds", { seconds: result.seconds.toFixed(2) }));
      return result;
    },
  };

  // --- choices -----------------------------------------------------------------------------------

  const take = async (n, file) => {
    const mine = ++chosen;
    markSample(n);
    const credit = oneByOne.credits[names[n]];
    find("play-credit").textContent = credit ? text("credit", { credit }) : "";
    say(text("computing"));
    try {
      const picture = await read(file ?? (await sample(n)));
      if (mine !== chosen) return null;
      canvas = picture;
    } catch {
      if (mine === chosen) say(file ? text("photo_wrong", { file: file.name }) : text("not_loaded"));
      return null;
    }
    result = null;
    oneByOne.state.chosen = null;
    oneByOne.compute();
    return null;
  };
  const choose = (n) => take(n);
  const markSample = oneByOne.listbox(find("play-samples"), choose);
  const showSamples = () => {
    if (find("play-samples").children.length) return;
    for (const name of names) {
      const image = new Image();
      image.src = `${folder}photographs/${name}.jpg`;
      image.alt = text("photographs")[name];
      image.setAttribute("role", "option");
      find("play-samples").append(image);
    }
  };
  find("play-photograph").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) take(-1, file);
  });
}
