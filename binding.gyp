{
  "variables": {
    "prebuild_exists%": "<!(node scripts/has-prebuild.mjs)"
  },
  "targets": [
    {
      "target_name": "inferenceguard",
      "type": "none",
      "conditions": [
        ["prebuild_exists==0", {
          "actions": [
            {
              "action_name": "build_with_cmake",
              "inputs": [],
              "outputs": ["<(PRODUCT_DIR)/inferenceguard.node"],
              "action": ["node", "scripts/gyp-action.mjs", "<(PRODUCT_DIR)"]
            }
          ]
        }]
      ]
    }
  ]
}
