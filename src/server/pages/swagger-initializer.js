window.onload = function () {
  window.ui = SwaggerUIBundle({
    url: "./docs.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    validatorUrl: null,
    onComplete: function () {
      const info = window.ui.specSelectors.info();
      document.title = info.get("title") + " - Cloze";
    },
  });
};
