// The search of the documentation runs in a worker, and browsers start none from a disk: there, a
// hidden frame takes its place. From a server this does nothing.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      this.started = new Promise((resolve, reject) => {
        frame.addEventListener("load", () => {
          const inner = frame.contentWindow;
          inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          const script = inner.document.createElement("script");
          script.addEventListener("load", () => resolve(inner));
          script.addEventListener("error", reject);
          script.src = url;
          inner.document.body.append(script);
        }, { once: true });
      });
      document.body.append(frame);
    }

    postMessage(data) {
      this.started.then((inner) => {
        inner.dispatchEvent(new inner.MessageEvent("message", { data }));
      });
    }
  };
  window.Worker = window.IFrameWorker;
}
