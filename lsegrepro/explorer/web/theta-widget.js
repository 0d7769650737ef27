// The same in a live notebook: three values that Python and the hand both set.
export default {
  async render({model, el}) {
    const root = make("section", {class: "lse-piece lse-theta", "aria-label": "Theta explorer"});
    const keys = ["theta", "network", "picture"],
      told = key => ({[key]: model.get(key)});
    el.append(root);
    try {
      const take = await thetaExplorer(
        root,
        JSON.parse(model.get("data")),
        Object.assign({}, ...keys.map(told)),
        state => {
          for (const key of keys) model.set(key, state[key]);
          model.save_changes();
        },
      );
      for (const key of keys) model.on("change:" + key, () => take(told(key)));
      root.dataset.state = "ready";
    } catch (error) {
      trouble(root, error);
    }
  },
};
