using System.Text.RegularExpressions;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests.Adapters;

/// <summary>A checkpoint with adapters merged into what it gives, against the definitions computed in double precision.</summary>
public sealed class MergeTests(ITestOutputHelper output)
{
    private const string Projection = "model.layers.0.self_attn.1.q_b_proj";
    private const string Expert = "model.layers.0.mlp.experts.1.down_proj";
    private const string Embedding = "model.embed_tokens";

    [GoldenTheory]
    [InlineData("longcat-flash-lora")]
    [InlineData("longcat-flash-lora-list")]
    [InlineData("longcat-flash-dora")]
    public void The_golden_adapters_merge_to_the_golden_weight(string name)
    {
        using PeftAdapter adapter = PeftAdapter.Load(GoldenFixtures.Path(name));
        using Checkpoint merged = Checkpoint.Open(GoldenFixtures.Path("longcat-flash"), [adapter]);
        using Checkpoint plain = Checkpoint.Open(GoldenFixtures.Path("longcat-flash"));
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFixtures.Path(name, "golden.safetensors"));
        string key = golden.Tensors.Keys.Single(k => k.StartsWith("merged.model.", StringComparison.Ordinal));
        string tensor = key["merged.".Length..];
        float worst = golden.ReadFloat32(key).Zip(merged.ReadFloat32(tensor), (a, b) => Math.Abs(a - b)).Max();

        // The fixtures' own limit: products of a few terms summed in another order.
        output.WriteLine($"{name}: {tensor} differs by {worst:E2}, limit 1e-6");
        Assert.True(worst <= 1e-6f);
        Assert.Equal(adapter.Modules.Count, merged.MergedTensors.Count());
        Assert.All(merged.Tensors.Keys.Except(merged.MergedTensors), t => Assert.Equal(plain.ReadFloat32(t), merged.ReadFloat32(t)));
        Assert.All(merged.MergedTensors, t => Assert.NotEqual(plain.ReadFloat32(t), merged.ReadFloat32(t)));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void Every_kind_of_module_becomes_what_the_definition_says(bool rsLora, bool dora)
    {
        using CheckpointFolder folder = new();
        RandomAdapter.WriteBase(folder);
        PeftConfig config = new() { Rank = 5, Alpha = 3, UseRsLora = rsLora, UseDora = dora, Targets = AdapterTargets.AllLinear, RankPattern = new Dictionary<string, int> { ["down_proj"] = 2 } };
        using PeftAdapter adapter = RandomAdapter.Of(RandomAdapter.Flash, config, [Projection, Expert, Embedding, "lm_head", "model.layers.0.mlp.router.classifier"]);
        using Checkpoint plain = Checkpoint.Open(folder.Path);
        using Checkpoint merged = Checkpoint.Open(folder.Path, [adapter]);
        double worst = 0;
        foreach (AdapterMatrix matrix in adapter.Modules.Values)
        {
            string name = matrix.Module + ".weight";
            float[] got = merged.ReadFloat32(name);
            worst = Math.Max(worst, RandomAdapter.Expected(plain.ReadFloat32(name), matrix).Zip(got, (a, b) => Math.Abs(a - b)).Max());

            // Any piece of a tensor is the same piece of the whole, also one that begins and ends within rows.
            float[] piece = new float[(got.Length / 2) + 3];
            merged.ReadFloat32(name, 5, piece);
            Assert.Equal(got.AsSpan(5, piece.Length).ToArray(), piece);
        }

        // Float32: half a unit in the last place of values below 16, a few times over.
        output.WriteLine($"differs by {worst:E2}, limit 3e-6");
        Assert.True(worst <= 3e-6);
        merged.Validate();
        merged.CheckFinite();
        Assert.Throws<InvalidOperationException>(() => merged.GetBytes(Projection + ".weight"));
        Assert.Equal(plain.GetBytes("model.norm.weight"), merged.GetBytes("model.norm.weight"));
    }

    [Theory]
    [InlineData(TensorType.BFloat16)]
    [InlineData(TensorType.Float16)]
    public void Narrow_bases_are_rounded_once_from_the_exact_sum(TensorType type)
    {
        using CheckpointFolder folder = new();
        RandomAdapter.WriteBase(folder, type);
        PeftConfig config = new() { Rank = 4, Alpha = 4, Targets = AdapterTargets.AllLinear };
        using PeftAdapter adapter = RandomAdapter.Of(RandomAdapter.Flash, config, [Projection], type: type);
        using Checkpoint plain = Checkpoint.Open(folder.Path);
        using Checkpoint merged = Checkpoint.Open(folder.Path, [adapter]);
        string name = Projection + ".weight";
        float[] got = merged.ReadFloat32(name);
        double[] exact = RandomAdapter.Expected(plain.ReadFloat32(name), adapter.Modules[Projection]);
        int bits = type == TensorType.BFloat16 ? 8 : 11;
        for (int i = 0; i < got.Length; i++)
        {
            // Within half a step of the type from the exact value, but for the rounding of the float32 sum.
            double step = Math.ScaleB(1, Math.Max(Math.ILogB(Math.Abs(exact[i])), -14) - bits + 1);
            Assert.True(Math.Abs(got[i] - exact[i]) <= (step / 2) + 1e-6, $"element {i}: {got[i]} for {exact[i]}");
        }

        using MemoryStream stored = new(), wide = new();
        merged.CopyTo(name, type, stored);
        merged.CopyTo(name, TensorType.Float32, wide);
        Assert.Equal(AdapterDiskTensor.Narrow(got, type), stored.ToArray());
        Assert.Equal(AdapterDiskTensor.Narrow(got, TensorType.Float32), wide.ToArray());
    }

    [Fact]
    public void Adapters_are_merged_one_after_another_and_saved_modules_take_the_place_of_tensors()
    {
        using CheckpointFolder folder = new();
        RandomAdapter.WriteBase(folder);
        PeftConfig config = new() { Rank = 2, Targets = AdapterTargets.Names("q_b_proj"), ModulesToSave = ["lm_head"] };
        float[] head = RandomAdapter.Values(new Random(3), 32 * 16);
        AdapterMatrix matrix = RandomAdapter.Matrix(ModelModule.Of(RandomAdapter.Flash).Single(m => m.Path == Projection), config, 1);
        using PeftAdapter first = PeftAdapter.Create(config, [matrix], [new AdapterTensor("lm_head.weight", [32, 16], head)]);
        using PeftAdapter second = RandomAdapter.Of(RandomAdapter.Flash, new PeftConfig { Rank = 3, UseDora = true, Targets = AdapterTargets.Names("q_b_proj", "lm_head") }, [Projection, "lm_head"], seed: 9);
        using Checkpoint plain = Checkpoint.Open(folder.Path);
        using Checkpoint once = Checkpoint.Open(folder.Path, [first]);
        using Checkpoint twice = Checkpoint.Open(folder.Path, [first, second]);
        Assert.Equal(head, once.ReadFloat32("lm_head.weight"));
        foreach (string module in new[] { Projection, "lm_head" })
        {
            double[] expected = RandomAdapter.Expected(once.ReadFloat32(module + ".weight"), second.Modules[module]);
            Assert.True(expected.Zip(twice.ReadFloat32(module + ".weight"), (a, b) => Math.Abs(a - b)).Max() <= 3e-6);
        }

        AdapterException e = Assert.Throws<AdapterException>(() => Checkpoint.Open(folder.Path, [second, first]));
        Assert.Contains("lm_head.weight: replaces a tensor that another adapter changed already", e.Message);
    }

    [Fact]
    public void An_adapter_that_still_anneals_is_refused()
    {
        using CheckpointFolder folder = new();
        RandomAdapter.WriteBase(folder);
        PeftConfig config = new() { Targets = AdapterTargets.Names("q_b_proj") };
        AdapterMatrix matrix = RandomAdapter.Matrix(ModelModule.Of(RandomAdapter.Flash).Single(m => m.Path == Projection), config, 1);
        using PeftAdapter annealing = PeftAdapter.Create(config, [matrix], afa: new AfaState { Step = 5, TotalSteps = 40, Beta = 1e-9 });
        AdapterException e = Assert.Throws<AdapterException>(() => Checkpoint.Open(folder.Path, [annealing]));
        Assert.Contains("is still annealing: β is 1E-09 after step 5 of 40", e.Message);
        using PeftAdapter done = PeftAdapter.Create(config, [matrix], afa: new AfaState { Step = 40, TotalSteps = 40, Beta = 0 });
        using Checkpoint merged = Checkpoint.Open(folder.Path, [done]);
        Assert.Single(merged.MergedTensors);
    }

    [Fact]
    public void A_row_that_is_zero_has_no_direction_for_dora()
    {
        using CheckpointFolder folder = new();
        RandomAdapter.WriteBase(folder);
        PeftConfig config = new() { Rank = 1, Alpha = 1, UseDora = true, Targets = AdapterTargets.Names("q_b_proj") };
        AdapterMatrix matrix = RandomAdapter.Matrix(ModelModule.Of(RandomAdapter.Flash).Single(m => m.Path == Projection), config, 1) with { A = new float[8], B = new float[16] };
        float[] zeroRow = RandomAdapter.Values(new Random(1), 16 * 8);
        zeroRow.AsSpan(3 * 8, 8).Clear();
        AdapterTensor weight = new(Projection + ".weight", [16, 8], zeroRow);
        using PeftAdapter undefined = PeftAdapter.Create(config, [matrix], [weight], name: "adapter");
        using Checkpoint refused = Checkpoint.Open(folder.Path, [undefined]);
        AdapterException e = Assert.Throws<AdapterException>(() => refused.ReadFloat32(Projection + ".weight"));
        Assert.Contains($"{Projection}: row 3 of its weight is zero with the adapter added", e.Message);

        // Never trained: the magnitude is the norm, 0, and the row stays what it is.
        float[] magnitude = [.. matrix.Magnitude!];
        magnitude[3] = 0;
        using PeftAdapter untrained = PeftAdapter.Create(config, [matrix with { Magnitude = magnitude }], [weight]);
        using Checkpoint merged = Checkpoint.Open(folder.Path, [untrained]);
        Assert.All(merged.ReadFloat32(Projection + ".weight").Skip(3 * 8).Take(8), v => Assert.Equal(0f, v));
    }

    [Fact]
    public void Quantized_bases_and_overflowing_sums_are_refused()
    {
        using CheckpointFolder folder = new();
        RandomAdapter.WriteBase(folder, TensorType.Float16);
        PeftConfig config = new() { Rank = 1, Alpha = 1e6, Targets = AdapterTargets.Names("q_b_proj") };
        using PeftAdapter adapter = RandomAdapter.Of(RandomAdapter.Flash, config, [Projection]);
        using (Checkpoint merged = Checkpoint.Open(folder.Path, [adapter]))
        {
            Assert.Contains("more than the stored type F16 holds", Assert.Throws<AdapterException>(() => merged.ReadFloat32(Projection + ".weight")).Message);
        }

        TensorDeclaration[] tensors = [.. RandomAdapter.Flash.ExpectedTensors(false).Select(t => new TensorDeclaration(t.Name, t.Name.StartsWith(Projection, StringComparison.Ordinal) ? TensorType.Float8E4M3 : TensorType.Float32, t.Shape))];
        using (SafetensorsWriter writer = SafetensorsWriter.Create(folder.File("model.safetensors"), tensors))
        {
            foreach (TensorEntry tensor in writer.Tensors.Values)
            {
                writer.Write(tensor.Name, new byte[tensor.ByteLength]);
            }

            writer.Complete();
        }

        AdapterException e = Assert.Throws<AdapterException>(() => Checkpoint.Open(folder.Path, [adapter]));
        Assert.Contains($"{Projection}.weight: is stored as F8_E4M3", e.Message);
    }

    [Fact]
    public void A_merged_checkpoint_is_a_checkpoint_of_its_own()
    {
        using CheckpointFolder folder = new();
        string checkpoint = folder.File("base"), merged = folder.File("merged");
        RandomCheckpoint.Write(checkpoint, new RandomCheckpointOptions { Tokenizer = true, BFloat16 = true, Mtp = true });
        File.WriteAllText(Path.Combine(checkpoint, "LICENSE"), "terms");
        File.WriteAllText(Path.Combine(checkpoint, "README.md"), "the base model");
        File.WriteAllText(Path.Combine(checkpoint, "pytorch_model.bin"), "another format");
        ModelConfig model = ModelConfig.Load(checkpoint);
        PeftConfig config = new() { Rank = 4, Alpha = 8, Targets = AdapterTargets.Preset("attention-dense") };
        using PeftAdapter adapter = RandomAdapter.Of(model, config, config.Resolve(model));
        List<MergeProgress> reports = [];
        MergeResult result = MergedCheckpoint.Write(checkpoint, [adapter], merged, progress: new Reports(reports));
        Assert.Equal(adapter.Modules.Count, result.MergedTensors);
        Assert.Equal(reports[^1].BytesTotal, reports[^1].BytesDone);
        Assert.Equal(["LICENSE", "config.json", "merged_adapters.json", "model.safetensors", "tokenizer.json"], Directory.EnumerateFileSystemEntries(merged).Select(Path.GetFileName).Order(StringComparer.Ordinal));

        using Checkpoint expected = Checkpoint.Open(checkpoint, [adapter]);
        using Checkpoint got = Checkpoint.Open(merged);
        got.Validate();
        Assert.Equal(expected.Tensors.Count, got.Tensors.Count);
        foreach (TensorEntry tensor in got.Tensors.Values)
        {
            Assert.Equal(expected.Entry(tensor.Name).Type, tensor.Type);
            Assert.Equal(expected.ReadFloat32(tensor.Name), got.ReadFloat32(tensor.Name));
        }

        Assert.Contains("the output folder exists; choose another folder or ask for it to be overwritten (--overwrite)", Assert.Throws<CheckpointException>(() => MergedCheckpoint.Write(checkpoint, [adapter], merged)).Message);
        MergedCheckpoint.Write(checkpoint, [adapter, adapter], merged, new MergeOptions { Overwrite = true });
        using (Checkpoint twice = Checkpoint.Open(merged))
        {
            string changed = expected.MergedTensors.First();
            Assert.NotEqual(expected.ReadFloat32(changed), twice.ReadFloat32(changed));
        }

        Assert.Equal(2, Regex.Count(File.ReadAllText(Path.Combine(merged, "merged_adapters.json")), adapter.ContentHash));

        // What no merge wrote stays, and so does what is read.
        Assert.Contains("is not an earlier merge", Assert.Throws<CheckpointException>(() => MergedCheckpoint.Write(merged, [adapter], checkpoint, new MergeOptions { Overwrite = true })).Message);
        Assert.Contains("is or contains the checkpoint", Assert.Throws<CheckpointException>(() => MergedCheckpoint.Write(merged, [adapter], merged, new MergeOptions { Overwrite = true })).Message);
        Assert.Throws<ArgumentException>(() => MergedCheckpoint.Write(checkpoint, [], folder.File("none")));
        using CancellationTokenSource stopped = new();
        stopped.Cancel();
        Assert.Throws<OperationCanceledException>(() => MergedCheckpoint.Write(checkpoint, [adapter], folder.File("stopped"), cancellationToken: stopped.Token));
        Assert.Equal(["base", "merged"], Directory.EnumerateFileSystemEntries(folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [GoldenFact]
    public void Shards_stay_shards()
    {
        using TemporaryFolder folder = new();
        string checkpoint = GoldenFixtures.Path("longcat-flash-sharded");
        ModelConfig model = ModelConfig.Load(checkpoint);
        PeftConfig config = new() { Rank = 2, Targets = AdapterTargets.Names("o_proj") };
        using PeftAdapter adapter = RandomAdapter.Of(model, config, config.Resolve(model));
        MergedCheckpoint.Write(checkpoint, [adapter], folder["merged"]);
        using Checkpoint merged = Checkpoint.Open(folder["merged"]);
        Assert.Equal(2, merged.Files.Count);
        using Checkpoint expected = Checkpoint.Open(checkpoint, [adapter]);
        Assert.All(merged.Tensors.Keys, name => Assert.Equal(expected.ReadFloat32(name), merged.ReadFloat32(name)));
        Assert.Equal(File.ReadAllBytes(Path.Combine(checkpoint, "config.json")), File.ReadAllBytes(folder["merged/config.json"]));
    }

    private sealed class Reports(List<MergeProgress> list) : IProgress<MergeProgress>
    {
        public void Report(MergeProgress value) => list.Add(value);
    }
}
