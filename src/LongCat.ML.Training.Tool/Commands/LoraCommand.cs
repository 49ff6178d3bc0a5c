using System.CommandLine;
using LongCat.ML.Modules;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train lora</c>: an adapter (or all weights) from a file of JSON lines.</summary>
internal static class LoraCommand
{
    public static Command Create()
    {
        FineTuningArguments arguments = new("A checkpoint folder in Hugging Face layout, with tokenizer.json.", "The folder to write: PEFT's layout and report.html; after --method full a checkpoint.");
        AdapterArguments adapter = new();
        Option<string> baseWeights = new("--base") { Description = "How the frozen weights are held: f32, bf16 or w4a8.", DefaultValueFactory = _ => "f32" };
        baseWeights.AcceptOnlyFromAmong("f32", "bf16", "w4a8");
        Option<bool> checkpointing = new("--gradient-checkpointing") { Description = "Compute layers again in the backward pass: less memory, more time." };
        Option<string> device = new("--device") { Description = "cpu, cuda or cuda:n.", DefaultValueFactory = _ => new FineTuningOptions().Device };
        Command command = new("lora", "Fine-tune a model on a file of JSON lines: LoRA, rsLoRA, DoRA, PiSSA, AFA-LoRA, or all weights.");
        arguments.AddTo(command);
        command.Options.Add(baseWeights);
        command.Options.Add(checkpointing);
        command.Options.Add(device);
        adapter.AddTo(command);
        command.SetAction((result, cancellationToken) => Task.FromResult(arguments.Run(
            result,
            options => options with
            {
                Lora = adapter.Read(result, arguments.Seed(result)),
                Base = result.GetValue(baseWeights) switch { "bf16" => BaseWeights.BFloat16, "w4a8" => BaseWeights.W4A8, _ => BaseWeights.Float32 },
                GradientCheckpointing = result.GetValue(checkpointing),
                Device = result.GetRequiredValue(device),
            },
            cancellationToken)));
        return command;
    }
}
