/// --preview: pictures while they are drawn, as files or in the terminal. Single-thread.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/progress_bar.h"
#include "tintype/run_context.h"

namespace tintype::cli {

struct PreviewOptions {
  /// "terminal" (sixel where the terminal has it, else half blocks), "sixel", "blocks", or a
  /// folder.
  std::vector<std::string> where;
  int every = 1;
  int size_px = 256;  ///< longer side; in the terminal at most what fits
};

/// --preview, --preview-every, --preview-size
void add_preview_flags(CLI::App& command, PreviewOptions& options);

class PreviewOutput {
 public:
  /// Makes the folders. All outlive this. throws kInvalidArgument: no terminal to show previews in;
  /// kIo: a folder that cannot be made or written
  PreviewOutput(const PreviewOptions& options, ProgressBar& bar, RunContext& context);

  /// Pictures of this run that are drawn already: files are numbered through all of them.
  void start_batch(size_t pictures_before) { before_ = pictures_before; }

 private:
  enum class Terminal { kNone, kBlocks, kSixel };

  void show(const Preview& preview);
  void draw(const Image& image);
  void draw_sixel(const Image& image);

  ProgressBar& bar_;
  Terminal terminal_ = Terminal::kNone;
  std::vector<std::filesystem::path> folders_;
  size_t before_ = 0;
  int drawn_rows_ = 0;  ///< of the terminal, above the progress bar
};

/// "preview-2-007.png": picture from 1, network calls done.
std::string preview_file_name(size_t picture, int step);

}  // namespace tintype::cli
