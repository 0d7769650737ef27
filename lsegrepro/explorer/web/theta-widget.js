// The theta explorer in a live notebook: three values that Python and the reader both set.
export default {
  async render({model, el}) {
    const root = make("section", {class: "lse-piece lse-theta", "aria-label": "Theta explorer"});
    const keys = ["theta", "network", "picture"],
      value = key => ({[key]: model.get(key)});
    el.append(root);
    try {
      const update = await thetaExplorer(
        root,
        JSON.parse(model.get("data")),
        Object.assign({}, ...keys.map(value)),
        state => {
          for (const key of keys) model.set(key, state[key]);
          model.save_changes();
        },
      );
      for (const key of keys) model.on("change:" + key, () => update(value(key)));
      root.dataset.state = "ready";
    } catch (error) {
      trouble(root, error);
    }
  },
};
