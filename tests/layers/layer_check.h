/// Holds the #includes of a source tree to its layer rules. The rules are the CMakeLists.txt files:
///   - tt_layer(NAME ... DEPENDS a b ...) lets NAME include the layers a and b, and of what they
///     depend on further down only `base` and `tensor`, the vocabulary that every header speaks.
///   - target_link_libraries(tintype_NAME PRIVATE tintype_c) lets the .cpp files of NAME, not its
///     headers, include c: how an interface's registry knows its implementations.
///   - include/tintype includes itself and the standard library; apps and examples include their
///   own
///     folder, include/tintype and packages.
///   - "tintype/engine.h" is for the layers that implement it (engine, pipelines) and for users.
///   - A package's headers may be included only where CMakeLists.txt names the package, or a layer
///     below hands it on as PUBLIC.
///   - No layer depends on itself through others.
/// Test code only.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tintype {

struct LayerReport {
  std::vector<std::string> folders;   ///< every layer's folder ("src/backend/cpu"), sorted
  std::vector<std::string> problems;  ///< "file: what is wrong", in the order found
  int files = 0;
  int edges = 0;  ///< includes of project files looked at
};

LayerReport check_layers(const std::filesystem::path& root);

}  // namespace tintype
