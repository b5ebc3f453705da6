// What the worker does: it gets the network once, then photographs, and sends back all outputs.
{
  let network = null;
  onmessage = ({ data }) => {
    if (data.network) {
      network = data.network;
      return;
    }
    const start = performance.now();
    const image = oneByOne.prepare(network, data.photograph);
    const outputs = oneByOne.run(network, image);
    const seconds = (performance.now() - start) / 1000;
    const moved = [image, ...outputs].map(({ values }) => values.buffer);
    postMessage({ id: data.id, image, outputs, seconds }, moved);
  };
}
