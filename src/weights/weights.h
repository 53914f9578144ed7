/// How models get their tensors: a strict loader over an untrusted set of named tensors. Each
/// tensor is taken once with its expected shape; gaps, wrong shapes and leftovers are collected and
/// reported together with nearest names. Knows no model's name.
/// Thread-safety: one thread loads; the tensors handed out may be read anywhere.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/packed_parts.h"
#include "tensor/tensor.h"

namespace tintype {

/// A read-only set of named tensors: one safetensors file, or several shards of one.
class TensorSource {
 public:
  struct Entry {
    std::string name;
    DType dtype;  ///< of what read() returns
    Shape shape;
    /// How the file stores it, when read() widens it ("f8_e4m3", "q4_k"); else empty.
    std::string_view stored = {};
    /// Bytes in the file when `stored` says so; else they follow from dtype and shape.
    uint64_t stored_bytes = 0;
    /// Its name in the file, when map_keys() gave it another; else empty.
    std::string file_name = {};
    /// A weight as a backend packed it, for read_packed(); `shape` is the checkpoint's.
    bool packed = false;
  };
  /// A tensor in the file whose element type nothing here reads (often an I64 `position_ids`). It
  /// is a fault only when a model asks for it, or when it is left over and not ignored.
  struct Unreadable {
    std::string name;
    std::string dtype;                   ///< as the file spells it: "I64"
    std::string file_name = {};          ///< as Entry's
    std::optional<int64_t> number = {};  ///< of an I64 with one element, its value
  };
  virtual ~TensorSource() = default;
  /// All entries that read() can serve, sorted by name.
  virtual std::span<const Entry> entries() const = 0;
  /// The others, sorted by name.
  virtual std::span<const Unreadable> unreadable() const { return {}; }
  /// The tensor's bytes in place (memory-mapped), or widened into memory of their own where nothing
  /// computes with what the file stores. The pages are given back to the system when the last
  /// handle goes, so that loading needs the packed model plus one tensor.
  virtual Tensor read(const Entry& entry) const = 0;
  /// The same for an entry that says `packed`. throws kInternal: any other
  virtual PackedParts read_packed(const Entry& entry) const;
  /// True when models shall use tensors where they lie, for as long as they live: the file is made
  /// to be mapped by several processes. Else they copy what is small.
  virtual bool stays_mapped() const { return false; }
  /// A text that the file carries beside its tensors; "" where it has none of that name.
  virtual std::string metadata(std::string_view) const { return {}; }
  /// The file or folder, for messages.
  virtual const std::string& origin() const = 0;
};

/// What a source holds, from its header alone.
struct SourceSummary {
  uint64_t parameters = 0;  ///< elements of all readable tensors
  uint64_t bytes = 0;       ///< their bytes in the file
  std::string storage;      ///< element types, most bytes first: "f16", "f16+f32"; empty when none
};
SourceSummary summarize(const TensorSource& source);

/// Which weights of a component are kept in which format, as data. The first rule whose pattern
/// matches a layer's path ("down_blocks.0.resnets.1.conv1"; "*" stands for any text) decides; where
/// none does the weight is kept as stored.
struct PrecisionPlan {
  struct Rule {
    std::string pattern;
    WeightFormat format;
  };
  std::vector<Rule> rules = {};
  WeightFormat format_for(std::string_view path) const;
};

/// What a plan made of a component's layers: how many there are in each format and their weights.
struct PackingCount {
  uint64_t int8_layers = 0, int8_parameters = 0;
  uint64_t stored_layers = 0, stored_parameters = 0;
};

/// A weight that products are made with: where adapters may add to a model. Its number among the
/// model's slots is its index.
struct WeightSlot {
  std::string path;                             ///< "down_blocks.0.resnets.1.conv1"
  Shape shape;                                  ///< [N,K] or [O,I,kh,kw]
  WeightFormat format = WeightFormat::kStored;  ///< what the layer multiplies in
  /// Its path in the layout that single files use ("input_blocks.1.0.in_layers.2"), which adapters
  /// may name it by; "" where that is the same.
  std::string original_path = {};
};

/// Takes the weights of a model that is being loaded in the form in which it would use them: how
/// packed files are written.
class PackedSink {
 public:
  virtual ~PackedSink() = default;
  /// The bytes are borrowed for the call.
  virtual void add(const PackedParts& parts) = 0;
};

/// Bookkeeping of one load. Use: construct, build the model from `root()`, then `finish()`.
class WeightLoader {
 public:
  /// `component` opens every message ("unet"); `device` is where layers will pack to.
  WeightLoader(std::string component, std::shared_ptr<const TensorSource> source, Device device,
               PrecisionPlan plan = {});
  ~WeightLoader();

  class WeightScope root();
  /// Layers also give what they take to `sink`, packed for the CPU; it must outlive the load.
  void record(PackedSink& sink);
  /// A name that may be left over without complaint (`text_model.embeddings.position_ids`).
  void ignore(std::string_view name);
  /// Count every layer that asks for its format; `count` outlives the loader.
  void count_packing(PackingCount& count);
  /// throws kCorruptFile listing every gap, wrong shape and leftover, with nearest names
  void finish();

 private:
  friend class WeightScope;
  struct State;
  std::unique_ptr<State> state_;
};

/// A path inside a checkpoint: `w / "attn1" / "to_q"`. Cheap to copy; lives within its loader.
class WeightScope {
 public:
  WeightScope operator/(std::string_view child) const;
  WeightScope operator/(int64_t index) const;

  /// The tensor `<path>.<name>`, in host memory, in the file's float dtype. When it is missing or
  /// has another shape the fault is noted for finish() and an undefined tensor is returned; so it
  /// is when the file stores it in anything but f32, f16 or bf16.
  /// throws kInternal when the model asks for the same name twice
  Tensor take(std::string_view name, const Shape& expected) const;
  /// As take(), but accepts any of several shapes (a 1x1 convolution stored as a matrix).
  Tensor take(std::string_view name, std::span<const Shape> expected) const;
  /// The weight `<path>.<name>` as a backend packed it; nothing where it has another shape, which
  /// is noted for finish(). For names that are packed() only.
  std::optional<PackedParts> take_packed(std::string_view name, const Shape& expected) const;
  bool packed(std::string_view name) const;
  /// True when `<path>.<name>` is in the checkpoint; takes nothing.
  bool has(std::string_view name) const;

  /// This path as the next slot of the model; returns its number.
  int64_t add_slot(const Shape& shape, WeightFormat format) const;
  /// The slots of the model as built so far.
  const std::vector<WeightSlot>& slots() const;

  const std::string& path() const { return path_; }
  /// Where layers put their packed weights, and how this one's is kept.
  Device device() const;
  WeightFormat format() const;
  /// See TensorSource::stays_mapped.
  bool stays_mapped() const;
  /// Who else gets the weights; null: nobody. See WeightLoader::record.
  PackedSink* sink() const;

 private:
  friend class WeightLoader;
  WeightScope(WeightLoader::State& state, std::string path)
      : state_(&state), path_(std::move(path)) {}
  WeightLoader::State* state_;
  std::string path_;
};

}  // namespace tintype
