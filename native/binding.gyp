# For `node-gyp rebuild -C native`. Not in the package's folder itself: npm and pnpm run node-gyp, and thus Python, at every install
# of a package that has a binding.gyp there; `gypfile: false` is not in lockfiles, and `npm ci` does not see it.
{
  "targets": [
    {
      "target_name": "inferenceguard",
      "type": "none",
      "actions": [
        {
          "action_name": "build_with_cmake",
          "inputs": [],
          "outputs": ["<(PRODUCT_DIR)/inferenceguard.node"],
          "action": ["node", "../scripts/gyp-action.mjs", "<@(_outputs)"]
        }
      ]
    }
  ]
}
