using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using TorchSharp;

namespace LongCat.ML.Modules.Tests.Adapters;

/// <summary>Every kind of adapter there is.</summary>
internal static class AdapterKinds
{
    public static IReadOnlyDictionary<string, LoraOptions> All { get; } = new Dictionary<string, LoraOptions>
    {
        ["LoRA"] = new() { Rank = 3, Seed = 1 },
        ["LoRA gaussian"] = new() { Rank = 3, Initialization = LoraInitialization.Gaussian, Seed = 2 },
        ["rsLoRA"] = new() { Rank = 4, UseRsLora = true, AlphaPattern = new Dictionary<string, double> { ["o_proj"] = 5 }, RankPattern = new Dictionary<string, int> { ["q_a_proj"] = 2 } },
        ["DoRA"] = new() { Rank = 3, UseDora = true, Seed = 3 },
        ["PiSSA"] = new() { Rank = 3, Initialization = LoraInitialization.Pissa },
        ["PiSSA randomized, rsLoRA"] = new() { Rank = 3, Initialization = LoraInitialization.FastPissa(4), UseRsLora = true, Seed = 4 },
        ["AFA ReLU"] = new() { Rank = 3, Afa = new() { EndFraction = 0.5 }, Seed = 5 },
        ["AFA SiLU"] = new() { Rank = 3, Afa = new() { Activation = AfaActivation.Silu, Schedule = AfaSchedule.Cosine }, Seed = 6 },
        ["AFA GELU"] = new() { Rank = 3, Afa = new() { Activation = AfaActivation.Gelu, Schedule = AfaSchedule.Exponential }, Seed = 7 },
        ["AFA and DoRA"] = new() { Rank = 3, UseDora = true, Afa = new(), AllowDoraWithAfa = true, Seed = 8 },
    };

    /// <summary>Gives every trained tensor random values near those it has, as training would.</summary>
    public static void Disturb(AdaptedModel adapted, int seed = 1)
    {
        Random random = new(seed);
        using var frozen = torch.no_grad();
        foreach (AdapterParameter parameter in adapted.Parameters)
        {
            foreach (ref float value in MemoryMarshal.Cast<byte, float>(parameter.Parameter.bytes))
            {
                value += (float)(0.2 * ((2 * random.NextDouble()) - 1));
            }
        }
    }
}
