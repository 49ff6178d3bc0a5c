using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.Tokenization;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train tokenizer</c>: a byte-level BPE from the training part of the SDK's documentation.</summary>
internal static class TokenizerCommand
{
    public static Command Create()
    {
        Option<string> output = new("--output", "-o") { Description = "The folder for tokenizer.json and tokenizer_config.json.", Required = true };
        Option<int> vocabulary = new("--vocab") { Description = "How many ids, special tokens and the 256 bytes included.", DefaultValueFactory = _ => 4096 };
        Command command = new("tokenizer", "Train a byte-level BPE on the SDK's documentation (training part only).") { output, vocabulary };
        command.SetAction(result =>
        {
            Train(TrainingCorpus.Read().Train.Select(d => d.Text), result.GetValue(vocabulary), result.GetRequiredValue(output));
            return CommandHost.Success;
        });
        return command;
    }

    public static void Train(IEnumerable<string> texts, int vocabulary, string folder)
    {
        var trained = BpeTrainer.Train(texts, new BpeTrainerOptions { VocabularySize = vocabulary });
        trained.Save(folder);
        Console.WriteLine($"tokenizer: {trained.Tokens.Count} tokens, {trained.Merges.Count} merges, in {folder}");
    }
}
