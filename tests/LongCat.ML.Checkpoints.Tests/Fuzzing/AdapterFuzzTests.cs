using System.Text;
using LongCat.ML.Checkpoints.Tests.Adapters;
using LongCat.ML.TestShared.Fuzzing;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests.Fuzzing;

/// <summary>The files of adapters, mutated: only <see cref="AdapterException"/> may come out, within bounded time and memory.</summary>
public sealed class AdapterFuzzTests(ITestOutputHelper output) : IDisposable
{
    private const string Config = """
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.05, "target_modules": ["q_b_proj", "o_proj"], "exclude_modules": ".*1.o_proj",
         "target_parameters": ["experts.down_proj"], "rank_pattern": {"down_proj": 1, "(a|b)+x": 3}, "alpha_pattern": {"o_proj": 2.5}, "layers_to_transform": [0], "layers_pattern": "layers",
         "modules_to_save": ["lm_head"], "bias": "none", "use_dora": false, "use_rslora": true, "init_lora_weights": "gaussian", "unknown": {"x": [1, 2.5, null]}}
        """;

    private const string Afa = """
        {"format_version": 1, "step": 3, "total_steps": 10, "beta": 0.5, "activation": "relu", "schedule": "linear", "start_fraction": 0, "end_fraction": 0.3, "beta_start": 1, "stairs": 4,
         "adapter_config": {"peft_type": "LORA", "r": 2, "target_modules": ["o_proj"]}}
        """;

    private const string Header = """
        {"base_model.model.model.layers.0.self_attn.0.o_proj.lora_A.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
         "base_model.model.model.layers.0.self_attn.0.o_proj.lora_B.weight":{"dtype":"F32","shape":[4,2],"data_offsets":[16,48]},
         "base_model.model.model.layers.0.mlp.experts.lora_A.weight":{"dtype":"F32","shape":[3,1],"data_offsets":[48,60]},
         "base_model.model.model.layers.0.mlp.experts.lora_B.weight":{"dtype":"F32","shape":[1,3],"data_offsets":[60,72]},
         "base_model.model.lm_head.weight":{"dtype":"BF16","shape":[2],"data_offsets":[72,76]}}
        """;

    private readonly CheckpointFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Configurations() => Run(1500, 201, random => JsonMutator.Mutate(Config, random), input =>
    {
        PeftConfig config = PeftConfig.Parse(Encoding.UTF8.GetString(input));
        Assert.True(config.RankOf("model.layers.0.self_attn.0.o_proj") >= 1);

        // What was read can be written, and is then read as the same.
        byte[] written = config.ToBytes(null);
        Assert.Equal(written, PeftConfig.Parse(Encoding.ASCII.GetString(written)).ToBytes(null));
        config.Resolve(RandomAdapter.Flash);
    });

    [Fact]
    public void Folders()
    {
        Run(1200, 202, random => random.Next(3) switch
        {
            0 => [0, .. JsonMutator.Mutate(Config, random)],
            1 => [1, .. JsonMutator.Mutate(Afa, random)],
            _ => [2, .. JsonMutator.Mutate(Header, random, deepest: 20)],
        }, input =>
        {
            File.Delete(_folder.File("adapter_config.json"));
            File.Delete(_folder.File("afa_state.json"));
            _folder.Write("adapter_model.safetensors", CheckpointFolder.Safetensors(input[0] == 2 ? Encoding.Latin1.GetString(input, 1, input.Length - 1) : Header, new byte[76]));
            if (input[0] == 1)
            {
                _folder.Write("afa_state.json", input[1..]);
            }
            else
            {
                _folder.Write("adapter_config.json", input[0] == 0 ? input[1..] : Encoding.UTF8.GetBytes(Config));
            }

            using PeftAdapter adapter = PeftAdapter.Load(_folder.Path);
            Assert.Equal(64, adapter.ContentHash.Length);
            Assert.NotEmpty(AdapterSummary.Of(adapter).ToText());
            adapter.Validate(RandomAdapter.Flash);
        });
    }

    private void Run(int cases, int seed, Func<Random, byte[]> make, Action<byte[]> read) => output.WriteLine(Fuzzer.Run(cases, seed, make, input =>
    {
        try
        {
            read(input);
            return true;
        }
        catch (AdapterException error)
        {
            Assert.InRange(error.Message.Length, 10, 20_000);
            return false;
        }
    }));
}
